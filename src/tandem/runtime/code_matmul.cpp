#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/base/threads.h"
#include "tandem/runtime/code_groups.h"
#include "tandem/runtime/code_memory.h"
#include "tandem/runtime/code_steps.h"

namespace tandem {
namespace {

constexpr std::int64_t kMatMulRows = 64, kMatMulPanels = 4;
constexpr std::int64_t kMatMulStrip = kMatMulPanels * PackedCodes::kPanel;
constexpr std::int64_t kThreadMatMul = 1'000'000;  // fewer are not worth another thread

NodeId product_of(const StepContext& context) {
  for (const NodeId id : context.step.nodes)
    if (context.graph.nodes[id].op->name() == "IntMatMul") return id;
  throw InternalError("a product of codes without IntMatMul");
}

// Matrices of computed codes times others, one for each of the leading axes: the right ones are
// packed in every run, and the zeros of both are made up for in the sums.
class CodeMatMulStep final : public StepProgram {
 public:
  explicit CodeMatMulStep(const StepContext& context)
      : result_(context.graph.nodes[context.step.nodes.back()].outputs[0]) {
    const auto product = *code_matmul(context.module, context.graph, product_of(context), {},
                                      consumers(context.graph));
    a_ = product.a.codes;
    b_ = product.b.codes;
    const Shape a = context.shape(a_), b = context.shape(b_);
    depth_ = a.back();
    rows_ = a[a.size() - 2];
    columns_ = b.back();
    batches_ = rows_ * depth_ == 0 ? 0 : element_count(a) / (rows_ * depth_);
    a_signed_ = is_signed_byte(context.graph.values[a_].type.format);
    b_signed_ = is_signed_byte(context.graph.values[b_].type.format);
    // Of unsigned a and signed b.
    a_zero_ = static_cast<std::int32_t>(product.a.zero + (a_signed_ ? 128 : 0));
    b_zero_ = static_cast<std::int32_t>(product.b.zero - (b_signed_ ? 0 : 128));
    const auto tail = *code_tail(context.module, context.graph, context.step.nodes);
    rescale_ =
        CodeRescale(std::vector<RescaleLine>(static_cast<std::size_t>(columns_), tail.lines[0]),
                    tail.low, tail.high);
    table_ = tail.table;
    blocks_ = (rows_ + kMatMulRows - 1) / kMatMulRows;
  }

  void run(const Places& places, Scratch& scratch) const override {
    const auto* a = reinterpret_cast<const std::uint8_t*>(places.read[a_]);
    const auto* b = reinterpret_cast<const std::uint8_t*>(places.read[b_]);
    auto* to = reinterpret_cast<std::uint8_t*>(places.write[result_]);
    auto& packed = scratch.object<std::vector<PackedCodes>>(this);
    packed.resize(static_cast<std::size_t>(batches_));
    const bool threaded = batches_ * rows_ * depth_ * columns_ >= kThreadMatMul;
    const auto grain = [&](std::int64_t items) {
      return threaded ? 1 : std::max<std::int64_t>(items, 1);
    };
    parallel_for(0, batches_, grain(batches_), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t batch = begin; batch < end; ++batch)
        pack(b + batch * depth_ * columns_, packed[static_cast<std::size_t>(batch)]);
    });
    const std::int64_t items = batches_ * blocks_;
    parallel_for(0, items, grain(items), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t item = begin; item < end; ++item) {
        const std::int64_t batch = item / blocks_, first = item % blocks_ * kMatMulRows,
                           row = batch * rows_ + first;
        multiply(a + row * depth_, std::min(kMatMulRows, rows_ - first),
                 packed[static_cast<std::size_t>(batch)], to + row * columns_);
      }
    });
  }

 private:
  // `sums` become what the zeros add to each column.
  void pack(const std::uint8_t* b, PackedCodes& packed) const {
    pack_computed_codes(b, b_signed_, depth_, columns_, packed);
    const std::int32_t both = static_cast<std::int32_t>(depth_) * a_zero_ * b_zero_;
    for (std::int32_t& sum : packed.sums) sum = both - a_zero_ * sum;
  }

  void multiply(const std::uint8_t* a, std::int64_t rows, const PackedCodes& b,
                std::uint8_t* to) const {
    const std::int64_t stride = b.padded_depth();
    std::uint8_t* left = block_memory().row_bytes(kMatMulRows * stride);
    for (std::int64_t r = 0; r < rows; ++r) std::copy_n(a + r * depth_, depth_, left + r * stride);
    if (a_signed_) flip_code_signs(left, rows * stride);
    std::int32_t row_sums[kMatMulRows];
    sum_code_rows(left, rows, stride, depth_, row_sums);
    for (std::int64_t r = 0; r < rows; ++r) row_sums[r] *= -b_zero_;
    std::int32_t* sums = block_memory().sum_room(kMatMulRows * kMatMulStrip);
    for (std::int64_t panel = 0; panel < b.panel_count(); panel += kMatMulPanels) {
      const std::int64_t panels = std::min(kMatMulPanels, b.panel_count() - panel),
                         column = panel * PackedCodes::kPanel,
                         columns = std::min(kMatMulStrip, columns_ - column);
      multiply_codes(left, rows, stride, b, panel, panels, sums, kMatMulStrip);
      add_to_sums(row_sums, b.sums.data() + column, rows, panels * PackedCodes::kPanel, sums,
                  kMatMulStrip);
      rescale_codes(rescale_, column, columns, sums, rows, kMatMulStrip, to + column, columns_);
    }
    if (table_) map_codes(to, rows * columns_, *table_, to);
  }

  ValueId a_ = kNone, b_ = kNone, result_;
  std::int64_t batches_ = 1, rows_ = 1, depth_ = 1, columns_ = 1, blocks_ = 1;
  bool a_signed_ = false, b_signed_ = false;
  std::int32_t a_zero_ = 0, b_zero_ = 0;
  CodeRescale rescale_;
  std::optional<std::array<std::uint8_t, 256>> table_;
};

}  // namespace

std::unique_ptr<StepProgram> make_code_matmul(const StepContext& context) {
  return std::make_unique<CodeMatMulStep>(context);
}

}  // namespace tandem
