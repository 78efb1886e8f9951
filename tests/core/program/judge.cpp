// SPDX-License-Identifier: Apache-2.0
#include "tests/core/program/judge.h"

#include <algorithm>
#include <initializer_list>
#include <map>
#include <set>
#include <tuple>
#include <vector>

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
    h = hash_combine(h, static_cast<uint64_t>(action.kind == Kind::begin ? action.peer : 0));
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
// And of the map.
enum MapWord { kCommitted, kStored };

// What a value is called wherever it lies.
Value on_device(Value value) {
  if (value.cls != ValueClass::map) value.tier = Tier::device;
  return value;
}

class Interpreter {
 public:
  Interpreter(const Action& action, const Program& program, int64_t step, Rules rules, Values& values)
      : a_(action), program_(program), step_(step), rules_(rules), values_(values), b_(action.block) {}

  void run() {
    switch (a_.kind) {
      case Kind::begin: {
        Content s = values_.get(scalars());
        // What was added up before is the last step's, and whole.
        s[kStep] = hash_combine(hash_combine(mix64(s[kStep]), s[kLosses]), s[kNorms]);
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
        return add_scalar(kLosses, mix("loss", a_, {x, w}));
      }
      case Kind::loss_only:
        return add_scalar(kLosses, mix("loss", a_, {input(), weights()}));
      case Kind::norm:
        return add_scalar(kNorms, mix("norm", a_, {values_.get(gradient(b_, block().state_level))}));
      case Kind::total: {
        Content s = values_.get(scalars());
        s[kLosses] = total(s[kLosses]);
        s[kNorms] = total(s[kNorms]);
        return values_.change(scalars(), s);
      }
      case Kind::gather:
        return values_.make(own(ValueClass::weight),
                            values_.get(own(ValueClass::weight, block().weight_level)));
      case Kind::spread: {
        const Value weight = own(ValueClass::weight, block().weight_level);
        return values_.change(weight, mix("spread", {}, {values_.get(weight)}));
      }
      case Kind::reduce: {
        const Content part =
            mix("reduce", {.block = a_.block, .peer = a_.to}, {values_.get(gradient(b_, a_.level, a_.slot))});
        const Value sum = gradient(b_, a_.to, a_.slot);
        if (a_.level == a_.to) return values_.change(sum, part);
        if (a_.write == Write::overwrite) return values_.make(sum, plus({}, part, rules_.ordered()));
        return values_.change(sum, plus(values_.get(sum), part, rules_.ordered()));
      }
      case Kind::complete: {
        const Value sum = gradient(b_, block().state_level);
        return values_.change(sum, mix("complete", a_, {values_.get(sum)}));
      }
      case Kind::fold: {
        const Value sum = gradient(b_, block().grad_level, a_.slot);
        const Content part = values_.get(gradient(b_, block().grad_level, a_.with));
        return values_.change(sum, plus(values_.get(sum), part, rules_.ordered()));
      }
      case Kind::tie: {
        const Value one = gradient(b_, block().state_level);
        const Value other =
            gradient(block().twin, program_.blocks.at(static_cast<size_t>(block().twin)).state_level);
        const Content both = tied(b_, values_.get(one), block().twin, values_.get(other));
        values_.change(one, both);
        return values_.change(other, both);
      }
      case Kind::send:
      case Kind::receive:
        throw Wrong("a message of one rank alone");
      case Kind::clip: {
        Content s = values_.get(scalars());
        s[kCoefficient] = hash_combine(hash_combine(s[kCoefficient], s[kLosses]), s[kNorms]);
        return values_.change(scalars(), s);
      }
      case Kind::update: {
        const Value weight = own(ValueClass::weight, block().weight_level),
                    master = own(ValueClass::master, block().state_level),
                    moments = own(ValueClass::moments, block().state_level);
        const Content s = values_.get(scalars()), g = values_.get(gradient(b_, block().state_level));
        const Content w = values_.get(weight);
        const Content state = mix("states", {},
                                  {block().has_master ? values_.get(master) : Content{},
                                   block().has_moments ? values_.get(moments) : Content{}});
        const Content used{s[kStep], s[kCoefficient], 0, 0};
        values_.change(weight, mix("weight", a_, {w, g, state, used}));
        if (block().has_master) values_.change(master, mix("master", a_, {w, g, state, used}));
        if (block().has_moments) values_.change(moments, mix("moments", a_, {w, g, state, used}));
        return;
      }
      case Kind::pack: {
        const Content packed = packed_from(b_, values_.get(own(ValueClass::weight)));
        // It is there between uses when the whole weights are.
        if (block().weight_level == 0 && block().weight_home == Tier::device)
          return values_.change(own(ValueClass::packed), packed);
        return values_.make(own(ValueClass::packed), packed);
      }
      case Kind::load:
      case Kind::store: {
        if (a_.tier == a_.onto || (a_.onto < a_.tier) != (a_.kind == Kind::load)) throw Wrong("not a move");
        Value value{a_.cls, a_.block, a_.micro_batch, a_.tier, a_.level};
        const Content content = values_.get(value);
        // Codes are not the value, and only between host and device one is made of the other.
        if (a_.cls == ValueClass::x && program_.blocks[static_cast<size_t>(a_.block)].x_quantized &&
            a_.tier != Tier::host && a_.onto != Tier::host)
          throw Wrong("codes in place of values");
        value.tier = a_.onto;
        const bool at_home =
            std::find(program_.initial.begin(), program_.initial.end(), value) != program_.initial.end();
        // Gradients are made anew by every store.
        if (at_home && a_.kind == Kind::store && a_.cls != ValueClass::grad)
          values_.change(value, content);
        else
          values_.make(value, content);
        if (at_home && a_.onto == Tier::nvme && a_.cls != ValueClass::grad) stored(value, content);
        return;
      }
      case Kind::commit: {
        Content m = values_.get(map());
        m[kCommitted] = hash_combine(m[kCommitted], m[kStored]);
        m[kStored] = 0;
        return values_.change(map(), m);
      }
      case Kind::free:
        throw Wrong("a free is not interpreted");
    }
  }

  static uint64_t total(uint64_t sum) { return mix64(sum ^ 0x70a1); }
  static Content tied(int b, const Content& own, int twin, const Content& other) {
    const Action pair{.block = static_cast<int16_t>(std::min(b, twin))};
    return b < twin ? mix("tie", pair, {own, other}) : mix("tie", pair, {other, own});
  }
  static Content packed_from(int b, const Content& weight) {
    return mix("packed", {.block = static_cast<int16_t>(b)}, {weight});
  }

 private:
  const BlockInfo& block() const { return program_.blocks.at(static_cast<size_t>(b_)); }
  Value of(ValueClass cls, int b) const {
    return {.cls = cls, .block = static_cast<int16_t>(b), .micro_batch = a_.micro_batch};
  }
  static Value map() { return {.cls = ValueClass::map, .tier = Tier::nvme}; }
  // What has come to nvme since the last commit, in any order.
  void stored(const Value& value, const Content& content) {
    Content m = values_.get(map());
    m[kStored] += hash_combine(key(value), content[0]);
    values_.change(map(), m);
  }
  static Value scalars() { return {.cls = ValueClass::scalars}; }
  Value own(ValueClass cls, uint8_t level = 0) const {
    return {.cls = cls, .block = a_.block, .level = level};
  }
  static Value gradient(int b, uint8_t level, int16_t slot = -1) {
    return {.cls = ValueClass::grad, .block = static_cast<int16_t>(b), .micro_batch = slot, .level = level};
  }
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
    const Value grad = gradient(b, 0, a_.slot);
    if (a_.write == Write::overwrite)
      values_.make(grad, plus({}, part, rules_.ordered()));
    else
      values_.change(grad, plus(values_.get(grad), part, rules_.ordered()));
  }
  // Losses and norms are exact sums: their order is of no account.
  void add_scalar(Scalar which, const Content& part) {
    Content s = values_.get(scalars());
    s[which] += mix64(part[0]);
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

// The reference computes with what is at home elsewhere as if it were on the device, too.
Contents initial_contents(const Program& program, bool on_the_device_too = false) {
  Contents contents;
  for (const Value& value : program.initial) {
    contents[key(value)] = initial_content(value);
    if (on_the_device_too) contents[key(on_device(value))] = initial_content(value);
  }
  return contents;
}

}  // namespace

void apply(const Action& action, const Program& program, int64_t step, Rules rules, Values& values) {
  Interpreter(action, program, step, rules, values).run();
}

Content initial_content(const Value& value) {
  const Content content{mix64(key(on_device(value))), 2, 3, 4};
  // Packed weights belong to their weights from the start.
  return value.cls == ValueClass::packed
             ? Interpreter::packed_from(value.block,
                                        initial_content({.cls = ValueClass::weight, .block = value.block}))
             : content;
}

namespace {

// The plain loop of a step, on the blocks of all ranks.
class Reference {
 public:
  Reference(const Program& program, Rules rules)
      : program_(program),
        rules_(rules),
        tree_(rules.order == SumOrder::tree && program.micro_batches > 1),
        table_(initial_contents(program, true), false) {}

  void step(int64_t step) {
    step_ = step;
    const int head = program_.head();
    const bool train = program_.goal == Goal::train;
    // Gradients that are there before a step are the last one's, which it applies first.
    const bool deferred = std::any_of(program_.initial.begin(), program_.initial.end(),
                                      [](const Value& value) { return value.cls == ValueClass::grad; });
    if (train && deferred) update_all();
    act({.kind = Kind::begin});
    each_block([&](int16_t b, const BlockInfo& info) {
      const bool whole = info.weight_level == 0;
      if (!info.has_parameters || (whole && info.weight_home == Tier::device)) return;
      if (!whole) act({.kind = Kind::gather, .block = b});
      if (info.packed) act({.kind = Kind::pack, .block = b});
    });
    for (int16_t mb = 0; mb < program_.micro_batches; ++mb) {
      for (int16_t b = 0; b < head; ++b)
        act({.kind = Kind::forward,
             .block = b,
             .micro_batch = mb,
             .keep = train ? Keep::save : Keep::discard});
      if (train)
        backward(mb);
      else
        act({.kind = Kind::loss_only, .block = static_cast<int16_t>(head), .micro_batch = mb});
    }
    if (train) finish_gradients();
    if (train) each_trained([&](int16_t b, const BlockInfo&) { act({.kind = Kind::norm, .block = b}); });
    if (program_.ranks > 1) act({.kind = Kind::total});
    if (!train) return;
    act({.kind = Kind::clip});
    if (!deferred) update_all();
    come_home();
  }

  Contents result() {
    Contents result;
    for (const Value& value : program_.initial) result[key(value)] = table_.get(value);
    if (program_.goal == Goal::train)
      each_trained([&](int16_t b, const BlockInfo& info) {
        const Value grad{.cls = ValueClass::grad, .block = b, .level = info.state_level};
        result[key(grad)] = table_.get(grad);
      });
    return result;
  }

 private:
  void act(const Action& action) { apply(action, program_, step_, rules_, table_); }
  template <typename Visit>
  void each_block(Visit visit) {
    for (int16_t b = 0; b < program_.num_blocks(); ++b) visit(b, program_.blocks[static_cast<size_t>(b)]);
  }
  template <typename Visit>
  void each_trained(Visit visit) {
    each_block([&](int16_t b, const BlockInfo& info) {
      if (info.trainable) visit(b, info);
    });
  }
  void update_all() {
    each_trained([&](int16_t b, const BlockInfo& info) {
      act({.kind = Kind::update, .block = b});
      if (info.state_level > info.weight_level) act({.kind = Kind::spread, .block = b});
      if (info.packed && info.weight_level == 0) act({.kind = Kind::pack, .block = b});
    });
  }
  // What a step has changed, where the next one looks for it.
  void come_home() {
    bool on_nvme = false;
    for (const Value& home : program_.initial) {
      if (home.tier == Tier::device || home.cls == ValueClass::map ||
          !program_.blocks[static_cast<size_t>(home.block)].trainable)
        continue;
      act(move_of(on_device(home), home.tier));
      on_nvme |= home.tier == Tier::nvme && home.cls != ValueClass::grad;
    }
    if (on_nvme) act({.kind = Kind::commit});
  }
  int16_t slot(int16_t mb) const { return tree_ && mb > 0 ? mb : int16_t{-1}; }

  void backward(int16_t mb) {
    const auto head = static_cast<int16_t>(program_.head());
    const int tied = program_.blocks.back().tied_to;
    const auto write = [&](int b) {
      return tree_ || mb == 0 || program_.blocks[static_cast<size_t>(b)].grad_level > 0 ? Write::overwrite
                                                                                        : Write::accumulate;
    };
    // A tied pair whose sums begin at different times: the head's own begins with its action.
    const Write of_head =
        write(tied >= 0 && !program_.blocks[static_cast<size_t>(head)].trainable ? tied : head);
    act({.kind = Kind::loss, .block = head, .micro_batch = mb, .slot = slot(mb), .write = of_head});
    for (int16_t b = static_cast<int16_t>(head - 1); b >= 0; --b) {
      if (b > 0) act({.kind = Kind::backward_input, .block = b, .micro_batch = mb});
      if (program_.blocks[static_cast<size_t>(b)].trainable)
        act({.kind = Kind::backward_weight,
             .block = b,
             .micro_batch = mb,
             .slot = slot(mb),
             .write = b == tied ? Write::accumulate : write(b)});
    }
    each_trained([&](int16_t b, const BlockInfo& info) {
      if (info.grad_level == 0) return;
      const Write joins = tree_ || mb == 0 ? Write::overwrite : Write::accumulate;
      act({.kind = Kind::reduce,
           .block = b,
           .slot = slot(mb),
           .write = joins,
           .level = 0,
           .to = info.grad_level});
    });
  }

  // The sums over [first, first + count), halves first.
  void fold(int16_t b, int first, int count) {
    if (count == 1) return;
    fold(b, first, count / 2);
    fold(b, first + count / 2, count / 2);
    act({.kind = Kind::fold,
         .block = b,
         .slot = slot(static_cast<int16_t>(first)),
         .with = static_cast<int16_t>(first + count / 2)});
  }

  void finish_gradients() {
    each_trained([&](int16_t b, const BlockInfo& info) {
      if (tree_) fold(b, 0, program_.micro_batches);
      if (info.state_level > info.grad_level)
        act({.kind = Kind::reduce,
             .block = b,
             .write = Write::overwrite,
             .level = info.grad_level,
             .to = info.state_level});
      if (info.replicated)
        act({.kind = Kind::reduce, .block = b, .level = info.state_level, .to = info.state_level});
      if (info.partial) act({.kind = Kind::complete, .block = b});
    });
    each_trained([&](int16_t b, const BlockInfo& info) {
      if (info.twin > b) act({.kind = Kind::tie, .block = b});
    });
  }

  const Program& program_;
  Rules rules_;
  bool tree_;
  Table table_;
  int64_t step_ = 0;
};

// What one rank does between meetings.
class Rank {
 public:
  Rank(const Program& program, Rules rules, const Contents& expected)
      : program_(program), rules_(rules), expected_(expected), table_(initial_contents(program), true) {}

  const Action* next() const { return at_ < program_.list.size() ? &program_.list[at_] : nullptr; }
  void pass() {
    if (next()->kind == Kind::total && ++totals_ > 1) throw Wrong("all ranks meet twice");
    ++at_;
  }
  Table& table() { return table_; }
  const Program& program() const { return program_; }

  // Runs up to the next action that `stops` says meets others.
  template <typename Stops>
  bool run(Stops stops) {
    const size_t from = at_;
    for (; at_ < program_.list.size() && !stops(program_.list[at_]); ++at_) one(program_.list[at_]);
    return at_ > from;
  }

  std::string verdict() {
    if (table_.contents().size() != program_.initial.size()) return "other values are left than there were";
    for (const Value& value : program_.initial)
      if (value.cls != ValueClass::map && table_.get(value) != expected_.at(key(value)))
        return to_string(value) + " is wrong";
    return durable_ ? "" : "a restart finds the step before";
  }

 private:
  void one(const Action& action) {
    if (action.kind == Kind::total && ++totals_ > 1) throw Wrong("all ranks meet twice");
    if (action.kind == Kind::spread && !spread_.insert(action.block).second)
      throw Wrong("ranks meet for nothing");
    if (action.kind == Kind::commit) return commit();
    if (action.kind == Kind::store && action.onto == Tier::nvme) {
      const Value kept = moved_to(action);
      const auto at_home = std::find(program_.initial.begin(), program_.initial.end(), kept);
      if (at_home != program_.initial.end() && kept.cls != ValueClass::grad &&
          expected_.at(key(kept)) != initial_content(kept))
        durable_ = false;
    }
    if (action.kind != Kind::free) return apply(action, program_, 0, rules_, table_);
    const Value ended = freed_value(action);
    // The last copy of a sum, on whatever tier, must be the whole sum.
    const auto sum = expected_.find(key(on_device(ended)));
    const Content last = table_.get(ended);
    table_.end(ended);
    if (ended.cls != ValueClass::grad || sum == expected_.end()) return;
    // What ends behind the whole sum is an older copy of it.
    if (last == sum->second) whole_.insert(sum->first);
    if (whole_.contains(sum->first)) return;
    // Or that of the step before, whose update was deferred.
    for (const Value& value : program_.initial)
      if (on_device(value) == on_device(ended) && last == initial_content(value)) return;
    for (int tier = 0; tier < kNumTiers; ++tier) {
      Value copy = ended;
      copy.tier = static_cast<Tier>(tier);
      if (table_.contents().contains(key(copy))) return;
    }
    throw Wrong(to_string(ended) + " ends as another sum");
  }

  // A crash right after it would leave what nvme holds now: a whole step's, of this one or the one before.
  void commit() {
    bool old = false, fresh = false;
    table_.get({.cls = ValueClass::map, .tier = Tier::nvme});
    for (const Value& value : program_.initial) {
      if (value.tier != Tier::nvme || value.cls == ValueClass::map || value.cls == ValueClass::grad) continue;
      const Content before = initial_content(value), after = expected_.at(key(value)),
                    now = table_.get(value);
      if (before == after) continue;
      if (now != before && now != after) throw Wrong("a commit of something half done");
      (now == after ? fresh : old) = true;
    }
    if (old && fresh) throw Wrong("a commit of half a step");
    durable_ = true;
  }

  const Program& program_;
  Rules rules_;
  const Contents& expected_;
  Table table_;
  size_t at_ = 0;
  int totals_ = 0;
  std::set<int> spread_;      // blocks
  std::set<uint64_t> whole_;  // sums that have ended as they should
  bool durable_ = true;
};

bool meets(const Action& action) {
  return action.kind == Kind::send || action.kind == Kind::receive || action.kind == Kind::total ||
         (action.kind == Kind::tie && action.peer >= 0);
}

// Ranks side by side; what is sent lies in a box until it is received.
class JobJudge {
 public:
  JobJudge(std::span<const Program> programs, Rules rules, const Contents& expected) {
    for (const Program& program : programs) ranks_.emplace_back(program, rules, expected);
  }

  std::string run() {
    for (bool progress = true; progress;) {
      progress = false;
      for (size_t r = 0; r < ranks_.size(); ++r) progress |= ranks_[r].run(meets) || meet(r);
      progress |= everyone();
    }
    for (Rank& rank : ranks_) {
      if (rank.next()) return "the ranks wait for each other";
      if (std::string wrong = rank.verdict(); !wrong.empty()) return wrong;
    }
    return boxes_.empty() ? "" : "a message that nobody takes";
  }

 private:
  using Box = std::tuple<ValueClass, int, int, int, int>;  // class, block, micro-batch, from, to

  bool meet(size_t r) {
    Rank& self = ranks_[r];
    const Action* a = self.next();
    const auto me = static_cast<int>(r);
    if (!a || !meets(*a) || a->kind == Kind::total) return false;
    const Value value{.cls = a->cls, .block = a->block, .micro_batch = a->micro_batch};
    if (a->kind == Kind::send) {
      if (!boxes_.emplace(Box{a->cls, a->block, a->micro_batch, me, a->peer}, self.table().get(value)).second)
        throw Wrong("one message twice");
    } else if (a->kind == Kind::receive) {
      const auto box = boxes_.find({a->cls, a->block, a->micro_batch, a->peer, me});
      if (box == boxes_.end()) return false;
      self.table().make(value, box->second);
      boxes_.erase(box);
    } else {
      const int16_t twin = self.program().blocks.at(static_cast<size_t>(a->block)).twin;
      const Value sum{.cls = ValueClass::grad,
                      .block = a->block,
                      .level = self.program().blocks.at(static_cast<size_t>(a->block)).state_level};
      const bool posted =
          boxes_.emplace(Box{ValueClass::grad, a->block, -1, me, a->peer}, self.table().get(sum)).second;
      const auto other = boxes_.find({ValueClass::grad, twin, -1, a->peer, me});
      if (other == boxes_.end()) return posted;
      self.table().change(sum, Interpreter::tied(a->block, self.table().get(sum), twin, other->second));
      taken_.insert(other->first);
      const Box mine{ValueClass::grad, a->block, -1, me, a->peer};
      if (taken_.contains(mine)) boxes_.erase(mine), boxes_.erase(other);
    }
    self.pass();
    return true;
  }

  bool everyone() {
    for (Rank& rank : ranks_)
      if (!rank.next() || rank.next()->kind != Kind::total) return false;
    const Value scalars{.cls = ValueClass::scalars};
    uint64_t losses = 0, norms = 0;
    for (Rank& rank : ranks_) {
      losses += rank.table().get(scalars)[kLosses];
      norms += rank.table().get(scalars)[kNorms];
    }
    for (Rank& rank : ranks_) {
      Content s = rank.table().get(scalars);
      s[kLosses] = Interpreter::total(losses);
      s[kNorms] = Interpreter::total(norms);
      rank.table().change(scalars, s);
      rank.pass();
    }
    return true;
  }

  std::vector<Rank> ranks_;
  std::map<Box, Content> boxes_;
  std::set<Box> taken_;  // by the other twin
};

}  // namespace

Contents reference(const Program& program, int steps, Rules rules) {
  Reference loop(program, rules);
  for (int64_t step = 0; step < steps; ++step) loop.step(step);
  return loop.result();
}

std::string judge_list(const Program& program, Rules rules) {
  try {
    const Contents expected = reference(program, 1, rules);
    Rank rank(program, rules, expected);
    rank.run([](const Action&) { return false; });
    return rank.verdict();
  } catch (const std::exception& error) {
    return error.what();
  }
}

std::string judge_job(std::span<const Program> programs, Rules rules) {
  try {
    Program whole = programs[0];
    for (BlockInfo& block : whole.blocks) block.here = true;
    whole.initial.clear();
    for (const Program& program : programs)
      for (const Value& value : program.initial)
        if (std::find(whole.initial.begin(), whole.initial.end(), value) == whole.initial.end())
          whole.initial.push_back(value);
    const Contents expected = reference(whole, 1, rules);
    return JobJudge(programs, rules, expected).run();
  } catch (const std::exception& error) {
    return error.what();
  }
}

}  // namespace strata::judge
