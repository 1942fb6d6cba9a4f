# Thin names over the CMake presets; each first installs what it needs (tools/setup.sh).
PRESET ?= release
JOBS ?= $(shell nproc)
BUILD := build/$(PRESET)
TANDEM_DATA ?= ../shared/data
# An extension under sanitizers needs an interpreter under them.
PYTHON := $(if $(filter asan fuzz,$(PRESET)),OFF,ON)
TINY_MODELS := pretrainedResnet_quant kws_ref_model vww_96_int8 ad01_int8 str_ww_ref_model

.DEFAULT_GOAL := help
.PHONY: help demo build all test test-all bench check-int8 bench-host bench-mcu estimates estimates-host lint tidy format fuzz
.PHONY: coverage install clean compare compare-quantizers calibration-memory bench-decode

help:
	@echo "make demo      fit the digits network to a microcontroller and an FPGA, and print one table"
	@echo "make build     build the program, $(BUILD)/tandem"
	@echo "make test      build everything and run the tests, but for those labelled slow"
	@echo "make test-all  run the slow ones too"
	@echo "make estimates estimates beside the truth: the table of docs/estimates.md"
	@echo "make bench-mcu int8 networks on Cortex-M and RV32: the table of docs/microcontrollers.md"
	@echo "make bench-host networks on this processor beside ONNX Runtime: docs/host.md"
	@echo "               (AVX2=1: with nothing that the processor has beyond AVX2)"
	@echo "make estimates-host  predicted beside measured latency of those: docs/host_estimates.md"
	@echo "make bench-decode products with packed weights beside their roofs, oneDNN and llama.cpp"
	@echo "make compare   whole networks beside ONNX Runtime, LiteRT and qonnx, in one table"
	@echo "make compare-quantizers accuracy and time of quantization beside NNCF, ONNX Runtime, Brevitas"
	@echo "make calibration-memory peak memory of calibrating ResNet-50 with 32 and 3,200 samples"
	@echo "make check-int8 quantized networks on this processor: every code beside its definition and"
	@echo "               beside ONNX Runtime's; skipped where PyTorch is absent"
	@echo "make bench     every benchmark, networks beside PyPI's qonnx and tflite-micro"
	@echo "make lint      formatting, include order, lengths, shellcheck"
	@echo "make tidy      clang-tidy (a first run takes minutes)"
	@echo "make format    format every C++ source"
	@echo "make fuzz      fuzz each reader with FUZZ_RUNS (1,000,000) inputs under sanitizers, the"
	@echo "               writer of TensorFlow Lite with a tenth of them"
	@echo "make coverage  lines of src/tandem/ROOM that its tests and fuzzers execute"
	@echo "make install   install the program and the library under PREFIX (/usr/local)"
	@echo "make clean     remove build/"
	@echo "PRESET=debug|asan|clang chooses another build, JOBS=N its parallelism."

demo: build
	@TANDEM=$(BUILD)/tandem examples/digits/demo.sh build/demo

build:
	@tools/setup.sh demo
	@$(MAKE) --no-print-directory $(BUILD)/tandem

# Never up to date by its date alone: ninja decides.
.PHONY: $(BUILD)/tandem
$(BUILD)/tandem:
	@tools/build.sh $(PRESET) $(JOBS) tandem

all:
	@tools/setup.sh test
	@tools/build.sh $(PRESET) $(JOBS) all -D TANDEM_TESTS=ON -D TANDEM_PYTHON=$(PYTHON)

test: all
	ctest --preset $(PRESET) --parallel $(JOBS) --label-exclude slow

test-all: all
	ctest --preset $(PRESET) --parallel $(JOBS)

bench-mcu: build
	@tools/setup.sh bench
	@.venv/bin/python tools/bench_mcu.py --tandem $(BUILD)/tandem $(foreach model,$(TINY_MODELS),\
	  $(TANDEM_DATA)/models/mlperf_tiny/$(model).tflite)

# NETWORKS="resnet18 bert" takes some of them, and writes no document. Of those in INT8 there are
# quantized forms too. AVX2=1 hides what the processor has beyond AVX2 from both programs.
NETWORKS ?=
INT8 ?= densenet121 efficientnet_b0 mobilenet_v2 mobilenet_v3 resnet18 resnet50 shufflenet_v2 \
  squeezenet
INT8_TAKEN = $(if $(NETWORKS),$(filter $(INT8),$(NETWORKS)),$(INT8))
QUANTIZED = $(foreach name,$(INT8_TAKEN),build/networks/$(name).u8.onnx build/networks/$(name).s8.onnx)
build/networks/%.u8.onnx build/networks/%.s8.onnx:
	@.venv/bin/python tools/quantize_networks.py build/networks build/networks/$*.onnx

bench-decode:
	@tools/setup.sh llm
	@tools/build.sh $(PRESET) $(JOBS) tandem_decode_gemv
	@$(BUILD)/bench/tandem_decode_gemv
	@.venv/bin/python tools/bench_decode.py --program $(BUILD)/bench/tandem_decode_gemv

bench-host: all
	@tools/setup.sh networks
	@tools/build.sh $(PRESET) $(JOBS) tandem_host_quantized
	@$(if $(AVX2),tools/build.sh $(PRESET) $(JOBS) avx2_only)
	@.venv/bin/python tools/export_networks.py build/networks $(NETWORKS)
	@$(MAKE) --no-print-directory $(QUANTIZED)
	@$(if $(AVX2),LD_PRELOAD=$(abspath $(BUILD)/bench/libavx2_only.so)) \
	  .venv/bin/python tools/bench_host.py --tandem $(BUILD)/python \
	  --quantized $(BUILD)/bench/tandem_host_quantized \
	  --state build/networks/rows$(if $(AVX2),.avx2).json \
	  $(if $(NETWORKS),$(NETWORKS:%=build/networks/%.onnx) $(QUANTIZED),--write docs/host.md \
	  build/networks/*.onnx)

# Best with nothing else running: what is measured first lies in build/host and is kept.
estimates-host: build
	@tools/setup.sh networks
	@.venv/bin/python tools/export_networks.py build/networks
	@.venv/bin/python tools/estimates_host.py --tandem $(BUILD)/tandem --devices build/host \
	  --write docs/host_estimates.md build/networks/*.onnx

# Networks that were exported and those of the shared data beside the owners of their formats.
compare: all
	@tools/setup.sh networks
	@tools/setup.sh bench
	@.venv/bin/python tools/export_networks.py build/networks
	@.venv/bin/python tools/compare_networks.py --tandem $(BUILD) build/networks/*.onnx \
	  $(TANDEM_DATA)/models/qonnx/*.onnx $(TANDEM_DATA)/models/mlperf_tiny/*.tflite

# Peers of `tandem compress` on the same networks, samples and bits: the table of docs/numbers.md.
compare-quantizers: build
	@tools/setup.sh quantizers
	@TANDEM_DATA=$(TANDEM_DATA) .venv/bin/python tools/compare_quantizers.py --tandem $(BUILD)/tandem

calibration-memory: build
	@tools/setup.sh networks
	@.venv/bin/python tools/export_networks.py build/networks resnet50
	@.venv/bin/python tools/calibration_memory.py --tandem $(BUILD)/tandem \
	  build/networks/resnet50.onnx --size 64

INT8_NETWORKS = resnet18 mobilenet_v2 efficientnet_b0 deit_tiny
check-int8:
	@tools/build.sh $(PRESET) $(JOBS) tandem_host_quantized
	@if .venv/bin/python -c 'import torch' 2>/dev/null; then \
	  .venv/bin/python tools/export_networks.py build/networks $(INT8_NETWORKS) && \
	  .venv/bin/python tools/quantize_networks.py build/networks \
	    $(INT8_NETWORKS:%=build/networks/%.onnx) && \
	  .venv/bin/python tools/compare_int8.py --layers \
	    --program $(BUILD)/bench/tandem_host_quantized \
	    $(foreach n,$(INT8_NETWORKS),build/networks/$(n).u8.onnx build/networks/$(n).s8.onnx); \
	else echo "skipped: PyTorch is absent (tools/setup.sh networks)"; fi

bench: build
	@tools/setup.sh bench
	@tools/build.sh $(PRESET) $(JOBS) tandem_estimates
	@bench/run.sh $(PRESET)

estimates:
	@tools/setup.sh test
	@tools/build.sh $(PRESET) $(JOBS) tandem_estimates
	@.venv/bin/python tools/estimates.py --programs $(BUILD)/bench

lint:
	@tools/setup.sh lint
	@tools/lint.sh $(JOBS) format sources shell python

tidy:
	@tools/setup.sh lint
	@tools/lint.sh $(JOBS) tidy

format:
	@tools/setup.sh lint
	@git ls-files -co --exclude-standard '*.h' '*.cpp' | sort -u | xargs clang-format-14 -i

FUZZ_RUNS ?= 1000000
fuzz:
	@tools/setup.sh test
	@tools/fuzz.sh $(FUZZ_RUNS) $(JOBS)

coverage:
	@test -n "$(ROOM)" || { echo "make coverage ROOM=files: name a room" >&2; exit 2; }
	@tools/setup.sh test
	@tools/build.sh coverage $(JOBS) all -D TANDEM_TESTS=ON
	@find build/coverage -name '*.gcda' -delete
	@ctest --preset coverage --parallel $(JOBS) --label-regex '^($(ROOM)|fuzz)$$' | tail -n 3
	@.venv/bin/python tools/coverage.py $(ROOM)

PREFIX ?= /usr/local
install: build
	cmake --install $(BUILD) --prefix $(PREFIX)

clean:
	rm -rf build
