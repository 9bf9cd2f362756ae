#include <xgboost/c_api.h>
#ifdef __GLIBC__
// What a training frees, glibc keeps until it is told to give it back.
#include <malloc.h>
#endif
