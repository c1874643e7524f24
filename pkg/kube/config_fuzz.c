#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kube/config.h"
#include "kube/config_internal.h"
#include "kube/yaml.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *json = NULL;
    struct kp_kube_config config;
    if (kp_yaml_parse((const char *)data, size, &json, NULL) < 0)
        return 0;
    json_decref(json);
    if (kp_kube_config_parse((const char *)data, size, "/dir", &config, NULL) == KP_OK)
        kp_kube_config_finish(&config);
    return 0;
}
