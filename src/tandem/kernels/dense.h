#pragma once

#include <cstdint>
#include <memory>

#include "tandem/kernels/convolution.h"
#include "tandem/kernels/real_lanes.h"

namespace tandem {

// Dense work on f32, on the processor's tiles (TileProduct) where they pay and by oneDNN elsewhere.
// Each part of a call is computed by one thread, and no sum is shared between parts: the bits are
// the same for any number of threads, and differ between instruction sets.

// What happens to every element of a result before it is stored.
enum class Activation {
  kIdentity,
  kRelu,  // max(y, 0) + alpha * min(y, 0)
  kClip,  // min(max(y, alpha), beta)
  kSigmoid,
  kTanh,
  kSwish,      // y * sigmoid(alpha * y)
  kHardSwish,  // y * max(0, min(1, y / 6 + 1 / 2))
  kGelu,       // with the error function
  kGeluTanh    // its approximation by tanh
};

struct Epilogue {
  bool adds = false;  // a tensor of the result's shape and order is added before the activation
  Activation activation = Activation::kIdentity;
  float alpha = 0, beta = 0;
};

// The activation as a function of lanes.
RealCall lane_call_of(const Epilogue& epilogue);

class DenseCall;

// Constant operands in the orders that the processor likes, once for all calls that are made with
// this and read the same elements.
class PackedConstants {
 public:
  PackedConstants();
  ~PackedConstants();
  PackedConstants(const PackedConstants&) = delete;
  PackedConstants& operator=(const PackedConstants&) = delete;

  struct Kept;  // internal
  std::unique_ptr<Kept> kept;
};

// The arguments of a call in oneDNN's terms, kept from run to run. One for each thread that runs a
// call at a time.
class DenseArguments {
 public:
  DenseArguments();
  ~DenseArguments();
  DenseArguments(const DenseArguments&) = delete;
  DenseArguments& operator=(const DenseArguments&) = delete;

 private:
  friend class DenseCall;
  struct Kept;
  std::unique_ptr<Kept> kept_;
};

// One call with its shape and its constant operands. These must stay where they are as long as the
// call: they are copied only where the processor likes another order.
class DenseCall {
 public:
  ~DenseCall();

  // `right` is the second operand of a product that is not constant; `addend` is what the epilogue
  // adds. Both are null where there is none.
  void run(const float* x, const float* right, const float* addend, float* y,
           DenseArguments& arguments) const;

  struct Parts;  // internal

 private:
  explicit DenseCall(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;

  friend std::unique_ptr<DenseCall> dense_convolution(const Convolution&, const float*,
                                                      const float*, const Epilogue&,
                                                      PackedConstants&);
  friend std::unique_ptr<DenseCall> dense_product(const struct DenseProduct&, const float*,
                                                  const float*, const Epilogue&, PackedConstants&);
};

// y = epilogue(conv(x, w) + bias[filter]) with channels last: x [batch, height, width, channels],
// y [batch, out_height, out_width, filters]; w and bias (which may be null) as convolve() takes
// them.
std::unique_ptr<DenseCall> dense_convolution(const Convolution& shape, const float* w,
                                             const float* bias, const Epilogue& epilogue,
                                             PackedConstants& packed);

// y[b,i,j] = epilogue(sum_k x[b,i,k] * w[b,k,j] + bias[j]); all row-major, w [k,j] shared by the
// batch where `shares_right`, and stored as [j,k] where `right_is_transposed`.
struct DenseProduct {
  std::int64_t batch = 1, rows = 1, depth = 1, columns = 1;
  bool shares_right = true, right_is_transposed = false;
  // Constant weights may be copied to an order that is faster to read. Without, products of many
  // rows turn them in each run, which is slower by a tenth to a fifth.
  bool copies_weights = true;
};
// `w` is null where it is given to each run; `bias` may be null.
std::unique_ptr<DenseCall> dense_product(const DenseProduct& shape, const float* w,
                                         const float* bias, const Epilogue& epilogue,
                                         PackedConstants& packed);

}  // namespace tandem
