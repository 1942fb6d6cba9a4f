# Installs the build under SCRATCH, then configures, builds and runs the project in CONSUMER against
# that installation alone.
cmake_minimum_required(VERSION 3.25)
file(REMOVE_RECURSE "${SCRATCH}")

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT status EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}\nfailed (${status}):\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

run(${CMAKE_COMMAND} --install "${BUILD}" --prefix "${SCRATCH}/prefix")
run(${CMAKE_COMMAND} -S "${CONSUMER}" -B "${SCRATCH}/build" -G Ninja
  -D "CMAKE_PREFIX_PATH=${SCRATCH}/prefix" -D "CMAKE_CXX_COMPILER=${COMPILER}"
  -D "TANDEM_VERSION=${VERSION}")
run(${CMAKE_COMMAND} --build "${SCRATCH}/build")
run("${SCRATCH}/build/consumer")
if(NOT output STREQUAL "${VERSION}\n")
  message(FATAL_ERROR "the consumer printed \"${output}\", not the version ${VERSION}")
endif()
run("${SCRATCH}/prefix/bin/tandem" --version)
if(NOT output MATCHES "^tandem ${VERSION} \\(")
  message(FATAL_ERROR "the installed program printed \"${output}\"")
endif()
