# Compiler settings that every target of the project shares, applied by tandem_compile_options().

if(PROJECT_IS_TOP_LEVEL)
  find_program(CCACHE_PROGRAM ccache)
  if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    set(CMAKE_CXX_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
  endif()
  # -O3 costs a third more build time here and gains nothing: the hot loops carry their own pragmas.
  set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
endif()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

# Compiler flags, warnings and sanitizers of a target of the project; with TANDEM_UNITY its sources
# are compiled a batch at a time, since most of a single file's time goes into the headers. Batches
# are small enough that a changed file does not rebuild a whole room.
function(tandem_compile_options target)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${TANDEM_UNITY} UNITY_BUILD_BATCH_SIZE 10)
  # Contracted multiply-adds would make results depend on the host's instruction set.
  target_compile_options(${target} PRIVATE
    -ffp-contract=off -Wall -Wextra -Wpedantic -Wshadow -Wconversion
    $<$<BOOL:${TANDEM_WERROR}>:-Werror>)
  if(TANDEM_SANITIZE)
    target_compile_options(${target} PRIVATE
      -fsanitize=${TANDEM_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(${target} PUBLIC -fsanitize=${TANDEM_SANITIZE})
  endif()
  if(TANDEM_LIBFUZZER)
    # The mutators know the formats and take nothing from traced comparisons, a third of the time.
    # Lines are all that a crash report shows.
    target_compile_options(${target} PRIVATE
      -fno-sanitize-coverage=trace-cmp -gline-tables-only)
  endif()
endfunction()
