# The table of rooms: one list per storey, in include order. A room may use the rooms to its left in
# its storey and every room of the storeys above. tools/check_includes.py reads this table too.
set(TANDEM_STOREYS foundations networks machines work products)
set(TANDEM_STOREY_foundations base numerics tensor kernels solve search)
set(TANDEM_STOREY_networks graph ops transform files models data)
set(TANDEM_STOREY_machines device plan cost mapping)
set(TANDEM_STOREY_work runtime train compress emit verify)
set(TANDEM_STOREY_products codesign serve report cli)

set(TANDEM_ROOMS "")
foreach(storey IN LISTS TANDEM_STOREYS)
  list(APPEND TANDEM_ROOMS ${TANDEM_STOREY_${storey}})
endforeach()

# tandem_room(<name> [LIBS <library>...])
#
# Makes the static library tandem_<name> (alias tandem::<name>) of the *.cpp files in
# src/tandem/<name>, linked to every existing room before it in the table and, privately, to LIBS.
# Does nothing while the room's folder has no sources.
function(tandem_room name)
  cmake_parse_arguments(PARSE_ARGV 1 room "" "" "LIBS")
  if(NOT name IN_LIST TANDEM_ROOMS)
    message(FATAL_ERROR "tandem_room(${name}): not in the table of rooms, cmake/TandemRooms.cmake")
  endif()
  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cpp")
  list(FILTER sources EXCLUDE REGEX "/main\\.cpp$")
  if(NOT sources)
    return()
  endif()
  set(target tandem_${name})
  add_library(${target} STATIC ${sources})
  add_library(tandem::${name} ALIAS ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
  tandem_compile_options(${target})
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_include_directories(${target} PUBLIC
    "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>"
    "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
  foreach(earlier IN LISTS TANDEM_ROOMS)
    if(earlier STREQUAL name)
      break()
    endif()
    if(TARGET tandem_${earlier})
      target_link_libraries(${target} PUBLIC tandem_${earlier})
    endif()
  endforeach()
  target_link_libraries(${target} PRIVATE ${room_LIBS})
  set_property(GLOBAL APPEND PROPERTY TANDEM_ROOM_TARGETS ${target})
endfunction()
