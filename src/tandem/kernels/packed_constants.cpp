#include "tandem/kernels/packed_constants.h"

// Of libgomp, which Debian's oneDNN runs on. Declared here since <omp.h> comes with GCC alone.
extern "C" void omp_set_num_threads(int threads);

namespace tandem {

const dnnl::engine& dnnl_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

// Each thread works alone: oneDNN's own threads stay out of the way of parallel_for's.
const dnnl::stream& dnnl_stream() {
  thread_local const dnnl::stream stream = [] {
    omp_set_num_threads(1);
    return dnnl::stream(dnnl_engine());
  }();
  return stream;
}

PackedConstants::PackedConstants() : kept(std::make_unique<Kept>()) {}
PackedConstants::~PackedConstants() = default;

}  // namespace tandem
