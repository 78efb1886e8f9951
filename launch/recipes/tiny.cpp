// SPDX-License-Identifier: Apache-2.0
// The quickstart: learns English from one book within minutes on two CPU cores.
#include "launch/recipes/recipe.h"

namespace strata {

extern constexpr Recipe kTinyRecipe = {
    .name = "tiny",
    .help = "a 2.7M-parameter Llama over bytes: minutes on a CPU with two cores",
    .toml =
        R"(# A Llama-style model of 2.7 million parameters that reads bytes: it learns English from one book in minutes.
#   strata config check tiny.toml        find mistakes before a run does
#   strata train tiny.toml               train; any key can be changed, as in optimizer.lr=1e-3
# 'strata config keys' explains every key and lists those left out here.

[run]
name = "tiny"
steps = 1100              # 1100 x 4096 bytes: once through the King James Bible
seed = 1234

[model]
arch = "llama"
layers = 6
hidden = 192
heads = 6
ffn = 512

[data]
train = ["kjv.txt"]       # any UTF-8 text; several files are fine
valid_fraction = 0.02     # the last 2% is never trained on, only measured
seq_len = 256             # bytes the model sees at once
tokenizer = "byte"

[batch]
tokens_per_step = 4096    # micro_batch x seq_len x number of micro-batches
micro_batch = 8           # sequences at once; lower it if memory is short: the result is the same

[optimizer]
lr = 3e-3                 # small models like large rates
betas = [0.9, 0.95]
weight_decay = 0.1
grad_clip = 1.0

[schedule]
type = "wsd"              # warm up, hold, then fall over the last part of the run
warmup = 40
decay = 0.4
min_lr = 0.02

[precision]
compute = "bf16"

[checkpoint]
every = 250
keep = 2

[eval]
every = 250

[log]
every = 25
)"};

}  // namespace strata
