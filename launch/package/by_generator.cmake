# SPDX-License-Identifier: Apache-2.0
# Read by cpack for each kind of package: an archive unpacks into one folder, a .deb into the system's.
if(CPACK_GENERATOR STREQUAL "TGZ")
  set(CPACK_COMPONENT_INCLUDE_TOPLEVEL_DIRECTORY ON)
endif()
