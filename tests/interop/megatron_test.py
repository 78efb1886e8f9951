# SPDX-License-Identifier: Apache-2.0
"""megatron-core loads what `strata convert --to megatron` wrote: a model that megatron-core saved (the golden Llama, by four processes; and
a GPT-2), through a checkpoint of Strata and back, has the same parameters and moments.

    megatron_test.py STRATA

Exits 77 without torch and megatron-core."""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

try:
    import torch
    from megatron.core import dist_checkpointing, parallel_state
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "golden"))
import make_megatron as golden

GPT2 = argparse.Namespace(
    num_layers=2, hidden_size=8, num_attention_heads=2, group_query_attention=False, num_query_groups=2, kv_channels=4, ffn_hidden_size=32,
    vocab_size=13, padded_vocab_size=13, max_position_embeddings=16, swiglu=False, normalization="LayerNorm", norm_epsilon=1e-5,
    position_embedding_type="learned_absolute", add_bias_linear=True, add_qkv_bias=True, qk_layernorm=False,
    untie_embeddings_and_output_weights=False, iteration=5, num_experts=None)


def make_gpt2():
    from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
    from megatron.core.models.gpt.gpt_model import GPTModel
    from megatron.core.transformer.transformer_config import TransformerConfig
    parallel_state.initialize_model_parallel()
    config = TransformerConfig(
        num_layers=GPT2.num_layers, hidden_size=GPT2.hidden_size, num_attention_heads=GPT2.num_attention_heads, use_cpu_initialization=True,
        layernorm_epsilon=GPT2.norm_epsilon, pipeline_dtype=torch.float32, gradient_accumulation_fusion=False, masked_softmax_fusion=False,
        bias_activation_fusion=False, persist_layer_norm=False)
    return GPTModel(config, get_gpt_layer_local_spec(), vocab_size=GPT2.vocab_size, max_sequence_length=GPT2.max_position_embeddings,
                    share_embeddings_and_output_weights=True, position_embedding_type="learned_absolute")


def fresh(make):
    if parallel_state.model_parallel_is_initialized():
        parallel_state.destroy_model_parallel()
    torch.manual_seed(int.from_bytes(os.urandom(4), "little"))
    model = make()
    return model, golden.optimizer_of(model)


def load(make, path):
    """Parameters and moments by name, and Megatron's arguments."""
    model, optimizer = fresh(make)
    state = dist_checkpointing.load(golden.sharded(model, optimizer), path)
    model.load_state_dict(state["model"])
    names = [name for name, _ in model.named_parameters()]
    moments = {f"{names[i]} {kind}": kept[kind] for i, kept in state["optimizer"]["state"].items() for kind in ("exp_avg", "exp_avg_sq")}
    return {**dict(model.named_parameters()), **moments}, vars(state["args"])


def check(strata, work, make, original, arguments):
    for pair in ((original, f"{work}/ours"), (f"{work}/ours", f"{work}/back", "--to", "megatron")):
        subprocess.run([strata, "convert", *pair], check=True, stdout=subprocess.DEVNULL)
    newest = int(pathlib.Path(f"{work}/back/latest_checkpointed_iteration.txt").read_text())
    want, _ = load(make, original)
    got, said = load(make, f"{work}/back/iter_{newest:07d}")
    assert want.keys() == got.keys() and len(want) > 20
    for name, tensor in want.items():
        vocabulary = tensor.shape[0] == arguments.padded_vocab_size
        rows = arguments.vocab_size if vocabulary else tensor.shape[0]  # what is padding is Megatron's own
        assert torch.equal(tensor[:rows], got[name][:rows]), name
    made = vars(arguments)
    differ = {key: (made[key], said[key]) for key in made if key in said and said[key] != made[key]}
    assert newest == arguments.iteration and set(differ) <= {"padded_vocab_size", "seq_length"}, differ
    print(f"{arguments.normalization}: {len(want)} tensors are those of the original; {len(said)} arguments")


def main():
    strata = os.path.abspath(sys.argv[1])
    golden.start(0, 1)
    with tempfile.TemporaryDirectory() as work:
        os.mkdir(f"{work}/llama")
        check(strata, f"{work}/llama", lambda: golden.make(1, 1), str(golden.OUT / "torch_dist"), golden.ARGS)
        golden.ARGS = GPT2
        os.makedirs(f"{work}/gpt2/original")
        model, optimizer = fresh(make_gpt2)
        state = golden.sharded(model, optimizer)
        state["iteration"] = GPT2.iteration
        dist_checkpointing.save(state, f"{work}/gpt2/original")
        check(strata, f"{work}/gpt2", make_gpt2, f"{work}/gpt2/original", GPT2)


if __name__ == "__main__":  # the writer starts processes that import this
    main()
