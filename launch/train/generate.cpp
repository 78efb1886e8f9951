// SPDX-License-Identifier: Apache-2.0
#include "launch/train/generate.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/step/text_model.h"

namespace strata {
namespace {

// One text that grows.
struct Text {
  Text(const Tokenizer& tokenizer, std::vector<int32_t> prompt, const SamplingOptions& sampling)
      : ids(std::move(prompt)), sampler(sampling), decoder(tokenizer) {}

  std::vector<int32_t> ids;  // prompt and what was drawn
  TokenSampler sampler;
  StreamDecoder decoder;
  Generated result;
  bool done = false;

  std::span<const int32_t> last(int64_t count) const {
    return std::span(ids).last(std::min(ids.size(), static_cast<size_t>(count)));
  }
};

// The longest text there will be, or what the model has positions for.
int64_t longest(const std::vector<std::vector<int32_t>>& prompts, int64_t tokens, int64_t positions) {
  int64_t length = 1;
  for (const auto& prompt : prompts) length = std::max(length, static_cast<int64_t>(prompt.size()) + tokens);
  return std::min(length, positions);
}

}  // namespace

std::vector<Generated> generate(TrainedModel& trained, const std::vector<std::vector<int32_t>>& prompts,
                                const GenerateOptions& options,
                                const std::function<void(size_t, std::string_view)>& piece) {
  const Tokenizer& tokenizer = trained.tokenizer();
  TextModel model(trained.model(), trained.runner(), trained.stream(), trained.allocator(),
                  {.sequences = narrow<int>(prompts.size()),
                   .max_length = longest(prompts, options.tokens, trained.model().spec.max_positions)});
  std::vector<Text> texts;
  for (const auto& prompt : prompts) {
    SamplingOptions sampling = options.sampling;
    sampling.seed += texts.size();
    texts.emplace_back(tokenizer, prompt, sampling);
    texts.back().done = options.tokens <= 0;
  }
  const auto add = [&](size_t i, const std::string& more) {
    texts[i].result.text += more;
    if (piece && !more.empty()) piece(i, more);
  };

  for (;;) {
    std::vector<TextModel::Append> appends;
    for (size_t i = 0; i < texts.size(); ++i) {
      if (texts[i].done) continue;
      const int sequence = narrow<int>(i);
      if (model.length(sequence) == model.max_length()) model.reset(sequence);
      // An empty sequence begins with the end of the text, half of what there is room for.
      const bool fits = static_cast<int64_t>(texts[i].ids.size()) < model.max_length();
      const int64_t beginning = fits ? model.max_length() : model.max_length() / 2 + 1;
      appends.push_back({sequence, texts[i].last(model.length(sequence) > 0 ? 1 : beginning)});
    }
    if (appends.empty()) break;
    const std::span<const float> logits = model.feed(appends);
    const size_t row = logits.size() / appends.size();
    for (size_t a = 0; a < appends.size(); ++a) {
      const auto i = static_cast<size_t>(appends[a].sequence);
      Text& text = texts[i];
      const int32_t id = text.sampler.draw(
          logits.subspan(a * row, static_cast<size_t>(tokenizer.vocab_size())), text.result.tokens);
      text.result.stopped = std::ranges::count(options.stops, id) != 0;
      if (!text.result.stopped) {
        text.ids.push_back(id);
        ++text.result.tokens;
        add(i, text.decoder.push(id));
      }
      text.done = text.result.stopped || text.result.tokens == options.tokens;
      if (text.done) add(i, text.decoder.finish());
    }
  }
  std::vector<Generated> results;
  for (Text& text : texts) results.push_back(std::move(text.result));
  return results;
}

}  // namespace strata
