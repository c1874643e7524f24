// Functions that must not be used become compile errors. Every .c file includes this last (tools/check_style
// sees to it).
#ifndef KP_BASE_BANNED_H
#define KP_BASE_BANNED_H

#undef sprintf // macros of a glibc that fortifies, for clang
#undef vsprintf
#pragma GCC poison strcpy strcat sprintf vsprintf strtok atoi atol atof gets gmtime localtime ctime asctime  \
    system sleep
#pragma GCC poison malloc calloc realloc strdup strndup

#endif
