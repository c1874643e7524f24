// Log lines: a constant message and typed fields; JSON in a cluster, text on a terminal. Modules under pkg/
// log at debug level only; programs log the rest, once, at the top. Thread-safe: one write(2) per line.
//
//     KP_INFO("capture stored", KP_S("pod", name), KP_I("bytes", len));
#ifndef KP_BASE_LOG_H
#define KP_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum kp_log_level { KP_LOG_DEBUG, KP_LOG_INFO, KP_LOG_WARN, KP_LOG_ERROR };

struct kp_field {
    const char *key;
    enum { KP_FIELD_STRING, KP_FIELD_INT, KP_FIELD_FLOAT, KP_FIELD_BOOL } kind;
    const char *s;
    int64_t i;
    double f;
};

#define KP_S(k, v) ((struct kp_field){.key = (k), .kind = KP_FIELD_STRING, .s = (v)})
#define KP_I(k, v) ((struct kp_field){.key = (k), .kind = KP_FIELD_INT, .i = (v)})
#define KP_F(k, v) ((struct kp_field){.key = (k), .kind = KP_FIELD_FLOAT, .f = (v)})
#define KP_B(k, v) ((struct kp_field){.key = (k), .kind = KP_FIELD_BOOL, .i = (v)})
#define KP_E(err)  ((struct kp_field){.key = "error", .kind = KP_FIELD_STRING, .s = (err)->text})

// Set once at start and on SIGHUP. fd is where lines go (2 by default).
void kp_log_setup(enum kp_log_level level, bool json, int fd);
enum kp_log_level kp_log_level(void);
KP_MUST_CHECK int kp_log_level_parse(const char *text, enum kp_log_level *ret, struct kp_error *err);

void kp_log_write(enum kp_log_level level, const char *message, const struct kp_field *fields, size_t n);

#define KP_LOG_(level, message, ...)                                                                         \
    do {                                                                                                     \
        if ((level) >= kp_log_level()) {                                                                     \
            const struct kp_field kp_fields_[] = {__VA_ARGS__};                                              \
            kp_log_write((level), (message), kp_fields_, sizeof kp_fields_ / sizeof kp_fields_[0]);          \
        }                                                                                                    \
    } while (0)
// A message without fields.
#define KP_SAY(level, message)                                                                               \
    ((level) >= kp_log_level() ? kp_log_write((level), (message), NULL, 0) : (void)0)
#define KP_DEBUG(message, ...) KP_LOG_(KP_LOG_DEBUG, message, __VA_ARGS__)
#define KP_INFO(message, ...)  KP_LOG_(KP_LOG_INFO, message, __VA_ARGS__)
#define KP_WARN(message, ...)  KP_LOG_(KP_LOG_WARN, message, __VA_ARGS__)
#define KP_ERROR(message, ...) KP_LOG_(KP_LOG_ERROR, message, __VA_ARGS__)

#endif
