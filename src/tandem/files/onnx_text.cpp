// TfIdfVectorizer over numbers: how often each n-gram of a pool stands in a row.
#include <algorithm>
#include <array>
#include <cmath>

#include "tandem/files/onnx_contrib.h"
#include "tandem/files/onnx_import.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

class GramCounter {
 public:
  explicit GramCounter(OnnxNode& node) : node_(node) {
    least_ = node.integer("min_gram_length");
    most_ = node.integer("max_gram_length");
    skips_ = node.integer("max_skip_count");
    starts_ = node.integers("ngram_counts").value_or(Integers{});
    columns_ = node.integers("ngram_indexes").value_or(Integers{});
    pool_ = node.integers("pool_int64s").value_or(Integers{});
    const auto* texts = node.attribute("pool_strings");
    if (texts != nullptr && texts->strings_size() > 0)
      OnnxNode::refuse("its pool holds texts", "map words to numbers before the model");
    check();
  }

  // Counts [N,columns] in rows [N,C], or [columns] in [C].
  void read() {
    const std::vector<Dim> shape = node_.type(0).shape;
    if (shape.empty() || shape.size() > 2)
      OnnxNode::refuse(concat("its input is ", node_.type(0).to_string()), "give it [N,C] or [C]");
    rows_ = shape.size() == 2 ? shape[0] : Dim(1);
    length_ = shape.back().constant();
    const ValueId x = node_.reshape(cast_to(node_, node_.value(0), Format::integer(64, true)),
                                    {rows_, Dim(length_)});
    if (columns_.empty()) OnnxNode::refuse("its pool is empty", "give it n-grams");
    std::vector<ValueId> counts;
    for (std::int64_t n = 1; n <= static_cast<std::int64_t>(starts_.size()); ++n) {
      const auto columns = columns_.cbegin() + first_;
      first_ += grams(n);
      if (grams(n) == 0 || n < least_ || n > most_ || length_ < n) continue;
      counts.push_back(counted(x, n));
      counted_.insert(counted_.end(), columns, columns_.cbegin() + first_);
    }
    const ValueId y = counts.empty() ? zeros(x) : weighted(placed(counts));
    node_.set(0, shape.size() == 2 ? y : node_.reshape(y, {Dim(size())}));
  }

 private:
  void check() {
    constexpr std::int64_t kMostSkips = 16, kMostLength = 16, kMostGrams = 1 << 16;
    const auto pool = static_cast<std::int64_t>(pool_.size());
    const auto lengths = static_cast<std::int64_t>(starts_.size());
    bool fits = least_ >= 1 && least_ <= most_ && most_ <= lengths && lengths <= kMostLength &&
                skips_ >= 0 && skips_ <= kMostSkips && pool <= kMostGrams;
    std::int64_t total = 0;
    for (std::int64_t n = 1; fits && n <= lengths; ++n) {
      const std::int64_t begin = starts_[static_cast<std::size_t>(n - 1)], end = end_of(n);
      fits = begin >= 0 && begin <= end && end <= pool && (end - begin) % n == 0;
      if (fits) total += (end - begin) / n;
    }
    fits = fits && total == static_cast<std::int64_t>(columns_.size());
    for (const std::int64_t column : columns_) fits = fits && column >= 0 && column < kMostGrams;
    if (!fits)
      OnnxNode::refuse("its n-grams do not fit their counts and indices, or are too many",
                       "correct the attributes");
  }

  std::int64_t end_of(std::int64_t n) const {
    return n < static_cast<std::int64_t>(starts_.size()) ? starts_[static_cast<std::size_t>(n)]
                                                         : static_cast<std::int64_t>(pool_.size());
  }
  std::int64_t grams(std::int64_t n) const {
    return (end_of(n) - starts_[static_cast<std::size_t>(n - 1)]) / n;
  }
  std::int64_t size() const { return *std::ranges::max_element(columns_) + 1; }

  // Where no n-gram is as short as the rows.
  ValueId zeros(ValueId x) {
    return node_.add("Expand", {node_.add_constant(Tensor(Format(), {1, size()})), x},
                     {{"shape", std::vector<std::string>{"d0", std::to_string(size())}}});
  }

  // Of the n-grams of length n, [N,grams].
  ValueId counted(ValueId x, std::int64_t n) {
    ValueId sum = kNone;
    const std::int64_t most_skipped = n == 1 ? 0 : skips_;
    for (std::int64_t skip = 0; skip <= most_skipped; ++skip) {
      const std::int64_t places = length_ - (n - 1) * (skip + 1);
      if (places < 1) break;
      const ValueId found = matches(x, n, skip + 1, places);
      sum = sum == kNone ? found : node_.add("Add", {sum, found});
    }
    return sum;
  }

  // How often the elements of an n-gram stand `step` apart.
  ValueId matches(ValueId x, std::int64_t n, std::int64_t step, std::int64_t places) {
    ValueId all = kNone;
    for (std::int64_t j = 0; j < n; ++j) {
      const ValueId part =
          node_.reshape(sliced(node_, x, 1, j * step, j * step + places), {rows_, 1, Dim(places)});
      Integers wanted;
      for (std::int64_t g = 0; g < grams(n); ++g)
        wanted.push_back(
            pool_[static_cast<std::size_t>(starts_[static_cast<std::size_t>(n - 1)] + g * n + j)]);
      const ValueId element = node_.add_constant(
          Tensor::from_integers(Format::integer(64, true), {grams(n), 1}, wanted));
      const ValueId same = node_.add("Equal", {part, element});
      all = all == kNone ? same : node_.add("And", {all, same});
    }
    const ValueId real = cast_to(node_, all, Format());
    return node_.add("ReduceSum", {real}, {{"axes", Integers{2}}, {"keepdims", std::int64_t{0}}});
  }

  // The counts in their columns: times 1 where the n-gram of a row counts for a column.
  ValueId placed(const std::vector<ValueId>& counts) {
    const ValueId all =
        counts.size() == 1 ? counts[0] : node_.add("Concat", counts, {{"axis", std::int64_t{1}}});
    const auto count = static_cast<std::int64_t>(counted_.size());
    node_.charge(count * size());
    std::vector<double> ones(static_cast<std::size_t>(count * size()));
    for (std::int64_t g = 0; g < count; ++g)
      ones[static_cast<std::size_t>(g * size() + counted_[static_cast<std::size_t>(g)])] = 1;
    return node_.add(
        "MatMul", {all, node_.add_constant(Tensor::from_reals(Format(), {count, size()}, ones))});
  }

  ValueId weighted(ValueId counts) {
    const std::string mode = node_.text("mode", "");
    const auto given = float_list(node_, "weights");
    if (mode == "TF") return counts;
    if (mode != "IDF" && mode != "TFIDF")
      OnnxNode::refuse(concat("its mode is '", mode, "'"), "use TF, IDF or TFIDF");
    if (!given.empty() && given.size() != columns_.size())
      OnnxNode::refuse("it has not a weight for each n-gram", "correct the attribute");
    std::vector<double> weights(static_cast<std::size_t>(size()), 1);
    for (std::size_t g = 0; g < given.size(); ++g)
      weights[static_cast<std::size_t>(columns_[g])] = given[g];
    if (mode == "IDF") counts = node_.add("Min", {counts, constant_like(node_, 1, counts)});
    return node_.add("Mul",
                     {counts, node_.add_constant(Tensor::from_reals(Format(), {size()}, weights))});
  }

  OnnxNode& node_;
  std::int64_t least_ = 0, most_ = 0, skips_ = 0, length_ = 0;
  std::ptrdiff_t first_ = 0;  // of the n-grams of the length at hand
  Dim rows_ = 1;
  Integers starts_, columns_, pool_;
  Integers counted_;  // columns of the n-grams that are counted
};

void tf_idf_vectorizer(OnnxNode& node) { GramCounter(node).read(); }

}  // namespace

void add_text_handlers(OnnxHandlers& handlers) { handlers["TfIdfVectorizer"] = tf_idf_vectorizer; }

}  // namespace tandem
