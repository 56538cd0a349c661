/* SPDX-License-Identifier: Apache-2.0 */
/* version.c: the version of the library that is linked, which may differ from the header's. */
#include <kvraft/base.h>

_Static_assert(KVR_VERSION_MAJOR == 0 && KVR_VERSION_MINOR == 1 && KVR_VERSION_PATCH == 0,
               "kvr_version_text must say the same");

uint32_t kvr_version(void)
{
    return KVR_VERSION_MAJOR * 1000000u + KVR_VERSION_MINOR * 1000u + KVR_VERSION_PATCH;
}

const char *kvr_version_text(void)
{
    return "0.1.0";
}
