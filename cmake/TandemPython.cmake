# Finds Python's headers and nanobind: where pip builds, in the environment that it made; else in
# TANDEM_VENV.
if(NOT SKBUILD)
  set(Python_ROOT_DIR "${TANDEM_VENV}")
  set(Python_FIND_VIRTUALENV ONLY)
  set(ENV{VIRTUAL_ENV} "${TANDEM_VENV}")
endif()
find_package(Python 3.10 REQUIRED COMPONENTS Interpreter Development.Module)
execute_process(COMMAND "${Python_EXECUTABLE}" -m nanobind --cmake_dir
  OUTPUT_VARIABLE nanobind_ROOT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET
  RESULT_VARIABLE status)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "${Python_EXECUTABLE} has no package nanobind: run tools/setup.sh test, or "
    "configure with -D TANDEM_PYTHON=OFF.")
endif()
find_package(nanobind CONFIG REQUIRED)
