/* SPDX-License-Identifier: Apache-2.0 */
/* test_base_status.c: statuses, version and the default panic: what a program prints in trouble. */
#include <criterion/criterion.h>
#include <kvraft/base.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const kvr_status known[] = {
    KVR_OK,
    KVR_DONE,
    KVR_AGAIN,
    KVR_END,
    KVR_EINVAL,
    KVR_ENOMEM,
    KVR_EBUSY,
    KVR_ETOOBIG,
    KVR_ENOSPACE,
    KVR_EIO,
    KVR_ECORRUPT,
    KVR_ENOTFOUND,
    KVR_EEXIST,
    KVR_EREENTRANT,
    KVR_ENOLEADER,
    KVR_EUNKNOWN,
    KVR_ECOMPACTED,
    KVR_EFUTURE,
    KVR_ECANCELED,
    KVR_ETIMEDOUT,
    KVR_EVERSION,
    KVR_EMISMATCH,
    KVR_ELOCKED,
    KVR_EDENIED,
    KVR_EREADONLY,
    KVR_EDUPKEY,
    KVR_ENOLEASE,
    KVR_ESTATE,
    KVR_EAUTHFAILED,
    KVR_ESTOPPED,
    KVR_EUSEREMPTY,
    KVR_EUSEREXIST,
    KVR_ENOUSER,
    KVR_EROLEEMPTY,
    KVR_EROLEEXIST,
    KVR_ENOROLE,
    KVR_EROLENOTGRANTED,
    KVR_EPERMISSIONNOTGRANTED,
    KVR_EPERMISSION,
    KVR_ENOROOTUSER,
    KVR_EROOTROLE,
    KVR_EAUTHMANAGE,
    KVR_EAUTHOLD,
    KVR_ENOPASSWORD,
    KVR_EBEHIND,
    KVR_EQUORUM,
    KVR_EREMOVED,
    KVR_FATAL,
    KVR_FSTORAGE,
    KVR_FCORRUPT,
    KVR_FDIVERGED,
    KVR_FVERSION,
};
enum { KNOWN_COUNT = sizeof known / sizeof known[0] };

Test(base_status, each_has_its_own_name_and_sentence)
{
    for (int i = 0; i < KNOWN_COUNT; i++) {
        const char *name = kvr_status_name(known[i]);
        const char *text = kvr_status_text(known[i]);
        cr_assert_eq(strncmp(name, "KVR_", 4), 0);
        cr_assert_str_neq(name, "KVR_E?");
        cr_assert_gt(strlen(text), 0);
        cr_assert_neq(text[strlen(text) - 1], '.', "%s", text);
        for (int j = 0; j < i; j++) {
            cr_assert_neq(known[i], known[j]);
            cr_assert_str_neq(name, kvr_status_name(known[j]));
            cr_assert_str_neq(text, kvr_status_text(known[j]));
        }
    }
}

Test(base_status, no_other_number_has_a_name)
{
    int named = 0;
    for (kvr_status status = -1000; status <= 1000; status++) {
        named += strcmp(kvr_status_name(status), "KVR_E?") != 0;
        cr_assert_eq(strcmp(kvr_status_name(status), "KVR_E?") == 0,
                     strcmp(kvr_status_text(status), "unknown status") == 0);
    }

    cr_assert_eq(named, KNOWN_COUNT);
    cr_assert_str_eq(kvr_status_name(INT32_MIN), "KVR_E?");
    cr_assert_str_eq(kvr_status_text(INT32_MAX), "unknown status");
}

Test(base_status, only_the_fatal_range_is_fatal)
{
    for (int i = 0; i < KNOWN_COUNT; i++) {
        cr_assert_eq(kvr_status_is_fatal(known[i]), known[i] <= -100);
    }
    cr_assert(kvr_status_is_fatal(INT32_MIN));
    cr_assert_not(kvr_status_is_fatal(-99));
}

Test(base_version, number_text_and_header_agree)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%d.%d.%d", KVR_VERSION_MAJOR, KVR_VERSION_MINOR,
                   KVR_VERSION_PATCH);

    cr_assert_str_eq(kvr_version_text(), text);
    cr_assert_eq(kvr_version(),
                 KVR_VERSION_MAJOR * 1000000 + KVR_VERSION_MINOR * 1000 + KVR_VERSION_PATCH);
}

Test(base_panic, the_librarys_own_aborts, .signal = SIGABRT)
{
    (void)freopen("/dev/null", "w", stderr);
    kvr_panic("a_file.c", 1, "a condition");
}
