# What `cmake --install` and the .deb contain beside the command (apps/cli) and the trusted executable
# (platform/process): the C library, its header, its CMake and pkg-config packages, an example.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS carrel_capi EXPORT carrel_targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES include/carrel/carrel.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/carrel)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright)
install(FILES examples/classify.c DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
install(EXPORT carrel_targets NAMESPACE carrel:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/carrel FILE carrelConfig.cmake)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/carrelConfigVersion.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${CMAKE_BINARY_DIR}/carrelConfigVersion.cmake DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/carrel)
# The prefix is told from where carrel.pc lies, so the tree may be installed anywhere.
file(RELATIVE_PATH CARREL_PREFIX_FROM_PC /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(cmake/carrel.pc.in ${CMAKE_BINARY_DIR}/carrel.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/carrel.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME carrel)
set(CPACK_PACKAGE_CONTACT "carrel engineers")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "ONNX networks in a few MiB of trusted memory, weights encrypted everywhere else")
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
include(CPack)
