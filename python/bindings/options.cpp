#include "python/bindings/options.h"

#include "tandem/base/error.h"

#include "python/bindings/arrays.h"
#include "python/bindings/module.h"

namespace nb = nanobind;

namespace tandem::python {

Network network_of(nb::handle model) {
  return nb::isinstance<Network>(model) ? nb::cast<Network>(model) : load(model);
}

InputCodings codings_of(nb::handle given) {
  if (!nb::isinstance<nb::dict>(given))
    throw Error("input_coding is no dict of inputs, such as {\"x\": (\"uint8\", 1 / 255)}");
  const auto codings = nb::cast<nb::dict>(given);
  const Format f64 = Format::parse("f64");
  InputCodings result;
  for (const auto& [key, value] : codings) {
    const std::string name = text_of(key);
    if (!nb::isinstance<nb::tuple>(value) || nb::len(value) < 2 || nb::len(value) > 3)
      throw Error("input_coding of '", name, "' is no tuple (format, scale) or (format, scale, ",
                  "offset), such as (\"uint8\", 1 / 255)");
    InputCoding& coding = result[name];
    coding.format = Format::parse(text_of(value[0]));
    coding.scale = tensor_of(nb::object(value[1]), f64).converted(f64);
    if (nb::len(value) == 3) coding.offset = tensor_of(nb::object(value[2]), f64).converted(f64);
  }
  return result;
}

std::vector<std::string> texts_of(nb::handle texts, const char* option) {
  if (nb::isinstance<nb::str>(texts)) return {text_of(texts)};
  if (!nb::isinstance<nb::sequence>(texts)) throw Error(option, " takes a text or a list of texts");
  std::vector<std::string> result;
  for (const nb::handle text : texts) result.push_back(text_of(text));
  return result;
}

std::string text_of(nb::handle value) {
  if (value.is_none()) return "";
  const nb::object text = nb::module_::import_("os").attr("fspath")(value);
  return nb::cast<std::string>(nb::str(text));
}

}  // namespace tandem::python
