#include "tandem/codesign/trial.h"

#include "tandem/base/error.h"
#include "tandem/compress/recoder.h"

namespace tandem {

TrialLowering lower_on_trial(const Module& network, const InputCodings& given) {
  TrialLowering trial;
  trial.recoded = !is_quantized(network);
  Module quantized = network;
  if (trial.recoded) {
    prepare_for_quantization(quantized);
    SiteRules rules;
    rules.inputs = given;
    quantized = Recoder(std::move(quantized), rules).recoded({});
    trial.notes.push_back(
        "the network is real: judged as `tandem compress` would recode it to 8 bits");
  }
  InputCodings codings = given;
  for (const std::string& input : uncoded_inputs(quantized)) {
    const Format format = Format::integer(8, false);
    const Tensor scale = Tensor::scalar(1.0 / 255, Format::parse("f64"));
    if (!codings.emplace(input, InputCoding{format, scale}).second) continue;
    trial.notes.push_back(concat("nothing says how input '", input, "' arrives: judged as ", input,
                                 "=uint8,1/255 (--input-coding says otherwise)"));
  }
  trial.lowered = lowered_network(quantized, codings);
  return trial;
}

}  // namespace tandem
