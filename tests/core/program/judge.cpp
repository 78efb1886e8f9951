// SPDX-License-Identifier: Apache-2.0
#include "tests/core/program/judge.h"

#include <initializer_list>

#include "core/base/hash.h"

namespace strata::judge {

namespace {

// One result of an action: `tag` tells the results of one action apart.
Content mix(std::string_view tag, const Action& action, std::initializer_list<Content> inputs) {
  Content out;
  for (size_t word = 0; word < out.size(); ++word) {
    uint64_t h = hash_combine(hash_name(tag), word);
    h = hash_combine(h,
                     static_cast<uint64_t>(action.block) << 32 | static_cast<uint32_t>(action.micro_batch));
    for (const Content& input : inputs)
      for (const uint64_t part : input) h = hash_combine(h, part);
    out[word] = h;
  }
  return out;
}

Content plus(const Content& sum, const Content& part, bool ordered) {
  Content out;
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = ordered ? hash_combine(sum[i], part[i]) : sum[i] + mix64(part[i]);
  return out;
}

// The words of the scalars.
enum Scalar { kStep, kLosses, kNorms, kCoefficient };

class Interpreter {
 public:
  Interpreter(const Action& action, const Program& program, int64_t step, Rules rules, Values& values)
      : a_(action), program_(program), step_(step), rules_(rules), values_(values), b_(action.block) {}

  void run() {
    switch (a_.kind) {
      case Kind::begin: {
        Content s = values_.get(scalars());
        s[kStep] = mix64(s[kStep]);
        s[kLosses] = s[kNorms] = 0;
        return values_.change(scalars(), s);
      }
      case Kind::forward: {
        const Content x = input(), w = weights();
        if (a_.keep == Keep::save) save(x, w);
        return values_.make(of(ValueClass::x, b_ + 1), mix("x", a_, {x, w}));
      }
      case Kind::recompute:
        return save(input(), weights());
      case Kind::backward_input: {
        const Content dy = values_.get(of(ValueClass::dx, b_ + 1)), x = input(), w = weights();
        const Content si = optional(block().saves_input, ValueClass::saved_input);
        const Content sw = optional(block().saves_weight, ValueClass::saved_weight);
        values_.make(of(ValueClass::dx, b_), mix("dx", a_, {dy, x, w, si, sw}));
        if (block().defers)
          values_.make(of(ValueClass::deferred, b_), mix("deferred", a_, {dy, x, w, si, sw}));
        return;
      }
      case Kind::backward_weight: {
        const Content dy = values_.get(of(ValueClass::dx, b_ + 1)), x = input();
        const Content sw = optional(block().saves_weight, ValueClass::saved_weight);
        const Content deferred = optional(b_ > 0 && block().defers, ValueClass::deferred);
        return add_gradient(b_, mix("gradient", a_, {dy, x, sw, deferred}));
      }
      case Kind::loss: {
        const Content x = input(), w = weights();
        values_.make(of(ValueClass::dx, b_), mix("dx", a_, {x, w}));
        add_gradient(b_, mix("gradient", a_, {x, w}));
        if (block().tied_to >= 0) add_gradient(block().tied_to, mix("tied gradient", a_, {x, w}));
        return add_scalar(kLosses, mix("loss", a_, {x, w}), rules_.ordered);
      }
      case Kind::loss_only:
        return add_scalar(kLosses, mix("loss", a_, {input(), weights()}), rules_.ordered);
      case Kind::norm:  // an order-independent accumulator
        return add_scalar(kNorms, mix("norm", a_, {values_.get(own(ValueClass::grad))}), false);
      case Kind::clip: {
        Content s = values_.get(scalars());
        s[kCoefficient] = hash_combine(hash_combine(s[kCoefficient], s[kLosses]), s[kNorms]);
        return values_.change(scalars(), s);
      }
      case Kind::update: {
        const Content s = values_.get(scalars()), g = values_.get(own(ValueClass::grad));
        const Content w = values_.get(own(ValueClass::weight)), state = values_.get(own(ValueClass::state));
        const Content used{s[kStep], s[kCoefficient], 0, 0};
        values_.change(own(ValueClass::weight), mix("weight", a_, {w, g, state, used}));
        return values_.change(own(ValueClass::state), mix("state", a_, {w, g, state, used}));
      }
      case Kind::pack:
        return values_.change(own(ValueClass::packed), packed_from(b_, values_.get(own(ValueClass::weight))));
      case Kind::free:
        throw Wrong("a free is not interpreted");
    }
  }

  static Content packed_from(int b, const Content& weight) {
    return mix("packed", {.block = static_cast<int16_t>(b)}, {weight});
  }

 private:
  const BlockInfo& block() const { return program_.blocks.at(static_cast<size_t>(b_)); }
  Value of(ValueClass cls, int b) const {
    return {.cls = cls, .block = static_cast<int16_t>(b), .micro_batch = a_.micro_batch};
  }
  static Value scalars() { return {.cls = ValueClass::scalars}; }
  Value own(ValueClass cls) const { return {.cls = cls, .block = a_.block}; }
  Content input() {
    return b_ == 0 ? Content{static_cast<uint64_t>(step_), static_cast<uint64_t>(a_.micro_batch), 1, 1}
                   : values_.get(of(ValueClass::x, b_));
  }
  Content weights() {
    Content all{};
    const auto add = [&](int b) {
      const BlockInfo& info = program_.blocks.at(static_cast<size_t>(b));
      const auto index = static_cast<int16_t>(b);
      if (info.has_parameters)
        all = plus(all, values_.get({.cls = ValueClass::weight, .block = index}), true);
      if (info.has_parameters && info.packed)
        all = plus(all, values_.get({.cls = ValueClass::packed, .block = index}), true);
    };
    add(b_);
    if (block().tied_to >= 0) add(block().tied_to);
    return all;
  }
  void save(const Content& x, const Content& w) {
    if (block().saves_input) values_.make(of(ValueClass::saved_input, b_), mix("saved_input", a_, {x, w}));
    if (block().saves_weight) values_.make(of(ValueClass::saved_weight, b_), mix("saved_weight", a_, {x, w}));
  }
  Content optional(bool exists, ValueClass cls) { return exists ? values_.get(of(cls, b_)) : Content{}; }
  void add_gradient(int b, const Content& part) {
    if (!program_.blocks.at(static_cast<size_t>(b)).trainable) return;
    const Value grad{.cls = ValueClass::grad, .block = static_cast<int16_t>(b)};
    if (a_.write == Write::overwrite)
      values_.make(grad, plus({}, part, rules_.ordered));
    else
      values_.change(grad, plus(values_.get(grad), part, rules_.ordered));
  }
  void add_scalar(Scalar which, const Content& part, bool ordered) {
    Content s = values_.get(scalars());
    s[which] = ordered ? hash_combine(s[which], part[0]) : s[which] + mix64(part[0]);
    values_.change(scalars(), s);
  }

  const Action& a_;
  const Program& program_;
  int64_t step_;
  Rules rules_;
  Values& values_;
  int b_;
};

// Values by name. A strict table insists on existence; the reference's does not.
class Table : public Values {
 public:
  Table(Contents contents, bool strict) : contents_(std::move(contents)), strict_(strict) {}

  Content get(const Value& value) override {
    const auto at = contents_.find(key(value));
    if (at == contents_.end()) throw Wrong(to_string(value) + " does not exist");
    return at->second;
  }
  void make(const Value& value, const Content& content) override {
    if (strict_ && contents_.contains(key(value))) throw Wrong(to_string(value) + " exists");
    contents_[key(value)] = content;
  }
  void change(const Value& value, const Content& content) override {
    if (!contents_.contains(key(value))) throw Wrong(to_string(value) + " does not exist");
    contents_[key(value)] = content;
  }
  void end(const Value& value) {
    if (contents_.erase(key(value)) == 0) throw Wrong(to_string(value) + " ends twice");
  }
  const Contents& contents() const { return contents_; }

 private:
  Contents contents_;
  bool strict_;
};

Contents initial_contents(const Program& program) {
  Contents contents;
  for (const Value& value : program.initial) contents[key(value)] = initial_content(value);
  return contents;
}

}  // namespace

void apply(const Action& action, const Program& program, int64_t step, Rules rules, Values& values) {
  Interpreter(action, program, step, rules, values).run();
}

Content initial_content(const Value& value) {
  const Content content{mix64(key(value)), 2, 3, 4};
  // Packed weights belong to their weights from the start.
  return value.cls == ValueClass::packed
             ? Interpreter::packed_from(value.block,
                                        initial_content({.cls = ValueClass::weight, .block = value.block}))
             : content;
}

Contents reference(const Program& program, int steps, Rules rules) {
  Table table(initial_contents(program), false);
  const int head = program.head();
  for (int64_t step = 0; step < steps; ++step) {
    const auto act = [&](Kind kind, int b, int mb, Write write = Write::accumulate) {
      apply({.kind = kind,
             .block = static_cast<int16_t>(b),
             .micro_batch = static_cast<int16_t>(mb),
             .keep = program.goal == Goal::train ? Keep::save : Keep::discard,
             .write = write},
            program, step, rules, table);
    };
    act(Kind::begin, -1, -1);
    for (int mb = 0; mb < program.micro_batches; ++mb) {
      for (int b = 0; b < head; ++b) act(Kind::forward, b, mb);
      if (program.goal == Goal::evaluate) {
        act(Kind::loss_only, head, mb);
        continue;
      }
      const Write first = mb == 0 ? Write::overwrite : Write::accumulate;
      const int tied = program.blocks.back().tied_to;
      act(Kind::loss, head, mb, first);
      for (int b = head - 1; b >= 0; --b) {
        if (b > 0) act(Kind::backward_input, b, mb);
        if (program.blocks[static_cast<size_t>(b)].trainable)
          act(Kind::backward_weight, b, mb, b == tied ? Write::accumulate : first);
      }
    }
    if (program.goal == Goal::evaluate) continue;
    const auto each_trainable = [&](Kind kind) {
      for (int b = 0; b <= head; ++b) {
        const BlockInfo& block = program.blocks[static_cast<size_t>(b)];
        if (block.trainable && (kind != Kind::pack || block.packed)) act(kind, b, -1);
      }
    };
    each_trainable(Kind::norm);
    act(Kind::clip, -1, -1);
    each_trainable(Kind::update);
    each_trainable(Kind::pack);
  }
  Contents result;
  for (const Value& value : program.initial) result[key(value)] = table.get(value);
  for (int16_t b = 0; b <= head && program.goal == Goal::train; ++b)
    if (program.blocks[static_cast<size_t>(b)].trainable) {
      const Value grad{.cls = ValueClass::grad, .block = b};
      result[key(grad)] = table.get(grad);
    }
  return result;
}

std::string judge_list(const Program& program, Rules rules) {
  Table table(initial_contents(program), true);
  try {
    const Contents expected = reference(program, 1, rules);
    for (const Action& action : program.list) {
      if (action.kind != Kind::free) {
        apply(action, program, 0, rules, table);
        continue;
      }
      const Value ended = freed_value(action);
      if (ended.cls == ValueClass::grad && table.get(ended) != expected.at(key(ended)))
        return to_string(ended) + " ends as another sum";
      table.end(ended);
    }
    if (table.contents().size() != program.initial.size()) return "other values are left than there were";
    for (const Value& value : program.initial)
      if (table.get(value) != expected.at(key(value))) return to_string(value) + " is wrong";
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

}  // namespace strata::judge
