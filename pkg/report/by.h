// Names of what rows and frames are merged by. Private to this module.
#ifndef KP_REPORT_BY_H
#define KP_REPORT_BY_H

#include "report/report.h"

const char *kp_report_by_name(enum kp_report_by by);

#endif
