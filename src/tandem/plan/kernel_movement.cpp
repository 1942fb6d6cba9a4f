#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/plan/kernel_builder.h"
#include "tandem/plan/movement_map.h"

namespace tandem {
namespace {

// Beyond so many boxes a table of offsets is shorter than the code.
constexpr std::size_t kMostBoxes = 24;
constexpr std::int64_t kCopiedBytes = 16;

struct CopyAxis {
  std::int64_t extent, to, from;
};

// The axes of a box, neighbours merged where both sides walk on without a gap.
std::vector<CopyAxis> copy_axes(const MovementBox& box, const std::vector<std::int64_t>& strides) {
  std::vector<CopyAxis> axes;
  for (std::size_t d = 0; d < box.extents.size(); ++d) {
    if (box.extents[d] == 1) continue;
    const CopyAxis axis{box.extents[d], strides[d], box.strides[d]};
    if (!axes.empty() && axes.back().to == axis.extent * axis.to &&
        axes.back().from == axis.extent * axis.from) {
      axes.back() = {axes.back().extent * axis.extent, axis.to, axis.from};
    } else {
      axes.push_back(axis);
    }
  }
  return axes;
}

}  // namespace

void KernelBuilder::copy_box(const MovementBox& box, const Shape& to_shape, const std::string& to) {
  const std::vector<std::int64_t> strides = row_major_strides(to_shape);
  const Storage type = storage_of_array(to);
  std::int64_t start = 0;
  for (std::size_t d = 0; d < strides.size(); ++d) start += box.start[d] * strides[d];
  const bool is_constant = box.input < 0;
  const std::string from =
      is_constant ? "" : read(first_.inputs[static_cast<std::size_t>(box.input)]);
  const std::vector<CopyAxis> axes = copy_axes(box, strides);
  const std::function<void(Statements&, std::size_t, Expr, Expr)> nested =
      [&](Statements& body, std::size_t d, const Expr& at, const Expr& source) {
        if (d + 1 == axes.size() && axes[d].to == 1) {
          const bool many = axes[d].extent * storage_bytes(type) >= kCopiedBytes;
          const bool bytes = storage_bytes(type) == 1;
          if (!is_constant && many && axes[d].from == 1 && storage_of_array(from) == type) {
            body.push_back(copy_statement(to, at, from, source, type, axes[d].extent));
            return;
          }
          if (is_constant && many && bytes) {
            body.push_back(fill_statement(to, at, type, box.base, axes[d].extent));
            return;
          }
        }
        if (d < axes.size()) {
          loop(body, "i", axes[d].extent, [&](Statements& inner, const Expr& i) {
            nested(inner, d + 1, at + i * constant_expr(axes[d].to),
                   source + i * constant_expr(axes[d].from));
          });
          return;
        }
        Expr value = is_constant ? constant_expr(box.base, arithmetic_for({box.base, box.base}))
                                 : load_expr(from, storage_of_array(from), source);
        body.push_back(store_statement(to, type, at, std::move(value)));
      };
  nested(program_.body, 0, constant_expr(start), constant_expr(is_constant ? 0 : box.base));
}

void KernelBuilder::copy_by_table(const MovementMap& map, const std::string& to) {
  const Storage type = storage_of_array(to);
  // One pass for each source; elements of other sources are not in its lists.
  std::vector<std::int32_t> sources = map.input;
  std::ranges::sort(sources);
  sources.erase(std::unique(sources.begin(), sources.end()), sources.end());
  for (const std::int32_t source : sources) {
    std::vector<std::int64_t> places, offsets;
    for (std::size_t i = 0; i < map.input.size(); ++i) {
      if (map.input[i] != source) continue;
      places.push_back(static_cast<std::int64_t>(i));
      offsets.push_back(map.offset[i]);
    }
    const auto count = static_cast<std::int64_t>(places.size());
    const bool all = places.size() == map.input.size();
    const std::string from =
        source < 0 ? "" : read(first_.inputs[static_cast<std::size_t>(source)]);
    const std::string offset_table = add_table("offsets", std::move(offsets));
    const std::string place_table = all ? "" : add_table("places", std::move(places));
    loop(program_.body, "i", count, [&](Statements& body, const Expr& i) {
      const Expr offset = load_expr(offset_table, storage_of_array(offset_table), i);
      const Expr place =
          all ? i
              : convert_expr(load_expr(place_table, storage_of_array(place_table), i),
                             Storage::kI32);
      const Expr value =
          source < 0 ? offset
                     : load_expr(from, storage_of_array(from), convert_expr(offset, Storage::kI32));
      body.push_back(store_statement(to, type, place, value));
    });
  }
}

std::string KernelBuilder::add_table(const std::string& stem, std::vector<std::int64_t> values) {
  const std::string name = add_constant(stem, std::move(values));
  program_.arrays.back().role = ArrayRole::kTable;
  return name;
}

void KernelBuilder::build_movement() {
  const std::size_t outputs = first_.outputs.size();
  for (std::size_t output = 0; output < outputs; ++output) {
    const ValueId value = base_of_[first_.outputs[output]];
    const auto map = movement_map(view_, output);
    ensure(map.has_value(), concat("'", first_.name, "' moves elements that depend on data"));
    Array array;
    array.name = outputs == 1 ? "y" : concat("y", output);
    array.role = ArrayRole::kOutput;
    array.storage = graph_.values[value].type.format.storage();
    array.size = element_count(shape(value));
    array.value = value;
    program_.arrays.push_back(array);
    if (const auto boxes = decompose(*map, shape(value), kMostBoxes))
      for (const MovementBox& box : *boxes) copy_box(box, shape(value), array.name);
    else
      copy_by_table(*map, array.name);
  }
}

}  // namespace tandem
