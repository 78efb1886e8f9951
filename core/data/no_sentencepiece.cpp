// SPDX-License-Identifier: Apache-2.0
// SentencePiece models in a build without the library.
#include "core/base/error.h"
#include "core/data/sentencepiece_tokenizer.h"

namespace strata {

std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(const std::filesystem::path& model) {
  throw Error(Fault::environment,
              {.what = "this program was built without SentencePiece",
               .where = model.string(),
               .expected = "a build with libsentencepiece, or the model's tokenizer.json",
               .fix = "apt-get install libsentencepiece-dev, then configure and build again"});
}

}  // namespace strata
