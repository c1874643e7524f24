# cmake -DCRDS=folder -DOUT=file.c -P embed_crds.cmake: writes the CRDs as C arrays (crds.h).
file(WRITE "${OUT}" "// Made by cli/embed_crds.cmake.\n#include \"cli/crds.h\"\n\n#include \"base/banned.h\"\n")
foreach(name profilingpolicies clusterprofilingpolicies)
  file(READ "${CRDS}/${name}.yaml" hex HEX)
  string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
  file(APPEND "${OUT}" "\nconst unsigned char kp_crd_${name}[] = {\n${hex}};\n")
  file(APPEND "${OUT}" "const size_t kp_crd_${name}_len = sizeof kp_crd_${name};\n")
endforeach()
