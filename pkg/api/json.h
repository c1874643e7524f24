// Writing JSON members into a string buffer, and our structs as JSON. Members that hold nothing are left out.
// Of this
// module, and of the program where it writes what the API would.
#ifndef KP_API_JSON_H
#define KP_API_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/strbuf.h"
#include "record/record.h"
#include "record/state.h"

struct kp_json {
    struct kp_strbuf *out;
    bool comma; // something stands before in this object or array
};

void kp_json_open(struct kp_json *j, const char *key, char bracket); // key NULL in arrays and at the top
void kp_json_close(struct kp_json *j, char bracket);
void kp_json_str(struct kp_json *j, const char *key, const char *value);  // NULL, "": left out
void kp_json_text(struct kp_json *j, const char *key, const char *value); // always there
void kp_json_int(struct kp_json *j, const char *key, int64_t value);      // always there
void kp_json_number(struct kp_json *j, const char *key, double value);    // what is not finite is null
void kp_json_bool(struct kp_json *j, const char *key, bool value);
void kp_json_time(struct kp_json *j, const char *key, int64_t ms); // RFC 3339 with milliseconds; 0: left out
void kp_json_seconds(struct kp_json *j, const char *key, int64_t ms);                // 0: left out
void kp_json_words(struct kp_json *j, const char *key, const char *comma_separated); // an array, always there

void kp_json_record(struct kp_json *j, const struct kp_record *record);
void kp_json_target(
    struct kp_json *j, const char *namespace, int64_t time_ms, const struct kp_target_state *target);

#endif
