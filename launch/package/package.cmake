# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts where, and the packages that `cpack` makes of it.
#   program      bin/strata, bin/strata-run, documentation and examples: a .deb, or a .tar.gz that runs from any folder
#   development  headers, libraries and StrataConfig.cmake, for models outside this tree
set(CMAKE_INSTALL_DOCDIR share/doc/strata CACHE PATH "documentation")
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS strata RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT program)
install(PROGRAMS launch/run.sh DESTINATION ${CMAKE_INSTALL_BINDIR} RENAME strata-run COMPONENT program)
install(FILES README.md CHANGELOG.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT program)
install(DIRECTORY examples DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT program)

if(NOT STRATA_CUDA STREQUAL "emulated" AND NOT STRATA_SANITIZE)
  install(DIRECTORY core parallel precision optim offload checkpoint launch
          DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/strata COMPONENT development
          FILES_MATCHING PATTERN "*.h" PATTERN "*.cuh")
  install(EXPORT StrataTargets NAMESPACE strata:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Strata COMPONENT development)
  set(STRATA_PKG_CONFIG_PAIRS tomlplusplus=tomlplusplus)
  foreach(pair uring=liburing pcre2=libpcre2-8 utf8proc=libutf8proc sentencepiece=sentencepiece)
    string(REGEX REPLACE "=.*" "" prefix ${pair})
    if(${prefix}_FOUND)
      list(APPEND STRATA_PKG_CONFIG_PAIRS ${pair})
    endif()
  endforeach()
  list(APPEND STRATA_PKG_CONFIG_PAIRS hdf5=${hdf5_MODULE_NAME})
  foreach(part MPI:MPI_CXX_FOUND OPENMP:STRATA_DNNL_FOUND CUDA:CUDAToolkit_FOUND)
    string(REPLACE ":" ";" part ${part})
    list(GET part 0 name)
    list(GET part 1 found)
    set(STRATA_WITH_${name} FALSE)
    if(${found})
      set(STRATA_WITH_${name} TRUE)
    endif()
  endforeach()
  configure_package_config_file(launch/package/StrataConfig.cmake.in ${PROJECT_BINARY_DIR}/StrataConfig.cmake
                                INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Strata)
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/StrataConfigVersion.cmake COMPATIBILITY SameMinorVersion)
  install(FILES ${PROJECT_BINARY_DIR}/StrataConfig.cmake ${PROJECT_BINARY_DIR}/StrataConfigVersion.cmake
          DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Strata COMPONENT development)
endif()

set(CPACK_PACKAGE_NAME strata)
set(CPACK_PACKAGE_VENDOR "Strata")
set(CPACK_PACKAGE_CONTACT "the developers of Strata")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_GENERATOR DEB TGZ)
set(CPACK_COMPONENTS_ALL program)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_ARCHIVE_COMPONENT_INSTALL ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_PROJECT_CONFIG_FILE ${PROJECT_SOURCE_DIR}/launch/package/by_generator.cmake)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_MAINTAINER "the developers of Strata <developers@strata.invalid>")
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)  # the libraries it is linked with, by dpkg-shlibdeps
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS openmpi-bin)
include(CPack)
