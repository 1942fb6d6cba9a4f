# `cmake --install`: the program, the libraries with their headers, and what find_package(tandem)
# reads.
include(CMakePackageConfigHelpers)

install(TARGETS tandem RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
get_target_property(rooms tandem_tandem INTERFACE_LINK_LIBRARIES)
install(TARGETS tandem_tandem ${rooms} EXPORT tandemTargets
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(DIRECTORY "${PROJECT_SOURCE_DIR}/src/tandem" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
  FILES_MATCHING PATTERN "*.h" PATTERN cli EXCLUDE)

install(DIRECTORY "${PROJECT_SOURCE_DIR}/devices" DESTINATION "${CMAKE_INSTALL_DATADIR}/tandem")

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/tandem")
install(EXPORT tandemTargets NAMESPACE tandem:: DESTINATION "${package_dir}")
configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/tandemConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/tandemConfig.cmake" INSTALL_DESTINATION "${package_dir}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/tandemConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES
  "${PROJECT_BINARY_DIR}/tandemConfig.cmake"
  "${PROJECT_BINARY_DIR}/tandemConfigVersion.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/Findlibzip.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/Findonednn.cmake"
  DESTINATION "${package_dir}")
