/* SPDX-License-Identifier: Apache-2.0 */
/* status.c: value, name and sentence of each status stand once, in the list below. The numbers are
 * part of the ABI: if base.h changes one and this list does not, the assertions do not compile. */
#include <kvraft/base.h>

#define STATUS_LIST(X)                                                                      \
    X(KVR_OK, 0, "success")                                                                 \
    X(KVR_DONE, 1, "complete at once, no completion will follow")                           \
    X(KVR_AGAIN, 2, "the budget ran out before the work did")                               \
    X(KVR_END, 3, "there is no more")                                                       \
    X(KVR_EINVAL, -1, "an argument is outside what the function accepts")                   \
    X(KVR_ENOMEM, -2, "out of memory")                                                      \
    X(KVR_EBUSY, -3, "a queue is full, ask again later")                                    \
    X(KVR_ETOOBIG, -4, "larger than the limit")                                             \
    X(KVR_ENOSPACE, -5, "storage has no room, nothing was written")                         \
    X(KVR_EIO, -6, "storage or network failed")                                             \
    X(KVR_ECORRUPT, -7, "the bytes are damaged")                                            \
    X(KVR_ENOTFOUND, -8, "no such thing")                                                   \
    X(KVR_EEXIST, -9, "there is one already")                                               \
    X(KVR_EREENTRANT, -10, "this call is not legal inside a callback")                      \
    X(KVR_ENOLEADER, -11, "no leader is known, or this member does not lead")               \
    X(KVR_EUNKNOWN, -12, "the outcome is unknown, it may still happen")                     \
    X(KVR_ECOMPACTED, -13, "the revision or index has been compacted")                      \
    X(KVR_EFUTURE, -14, "the revision is above the newest one")                             \
    X(KVR_ECANCELED, -15, "given up, it never happened and never will")                     \
    X(KVR_ETIMEDOUT, -16, "its time was over before it was done")                           \
    X(KVR_EVERSION, -17, "written by a newer version, or above the cluster level")          \
    X(KVR_EMISMATCH, -18, "it belongs to another cluster, group or member")                 \
    X(KVR_ELOCKED, -19, "in use by another process")                                        \
    X(KVR_EDENIED, -20, "permission denied")                                                \
    X(KVR_EREADONLY, -21, "no writes are taken now")                                        \
    X(KVR_EDUPKEY, -22, "the transaction puts one key twice")                               \
    X(KVR_ENOLEASE, -23, "the lease does not exist")                                        \
    X(KVR_ESTATE, -24, "the handle is not in a state that allows this call")                \
    X(KVR_EAUTHFAILED, -25, "wrong user name or password, or a token that is not valid")    \
    X(KVR_ESTOPPED, -26, "the handle was closed")                                           \
    X(KVR_EUSEREMPTY, -27, "no user is named")                                              \
    X(KVR_EUSEREXIST, -28, "there is a user of that name already")                          \
    X(KVR_ENOUSER, -29, "no user of that name")                                             \
    X(KVR_EROLEEMPTY, -30, "no role is named")                                              \
    X(KVR_EROLEEXIST, -31, "there is a role of that name already")                          \
    X(KVR_ENOROLE, -32, "no role of that name")                                             \
    X(KVR_EROLENOTGRANTED, -33, "the role is not granted to the user")                      \
    X(KVR_EPERMISSIONNOTGRANTED, -34, "the permission is not granted to the role")          \
    X(KVR_EPERMISSION, -35, "the user may not do this")                                     \
    X(KVR_ENOROOTUSER, -36, "there is no user root")                                        \
    X(KVR_EROOTROLE, -37, "user root does not have role root")                              \
    X(KVR_EAUTHMANAGE, -38,                                                                 \
      "a change of users or roles that would lock everybody out, or makes no sense")        \
    X(KVR_EAUTHOLD, -39, "decided under an auth revision that is not the present one")      \
    X(KVR_ENOPASSWORD, -40, "the user has no password")                                     \
    X(KVR_EBEHIND, -41, "the member has not caught up with the leader")                     \
    X(KVR_EQUORUM, -42, "the change would leave too few members that are up")               \
    X(KVR_EREMOVED, -43, "this member was removed from the cluster")                        \
    X(KVR_FATAL, -100, "the handle has failed for good")                                    \
    X(KVR_FSTORAGE, -101, "a write, sync or load failed, the member takes no further part") \
    X(KVR_FCORRUPT, -102, "what was durable is damaged")                                    \
    X(KVR_FDIVERGED, -103, "the state differs from the majority's")                         \
    X(KVR_FVERSION, -104, "only a newer version can apply what the log holds")

#define SAME_AS_HEADER(name, value, text) _Static_assert((name) == (value), #name " has moved");
STATUS_LIST(SAME_AS_HEADER)

#define NAME_CASE(name, value, text) \
    case value:                      \
        return #name;
#define TEXT_CASE(name, value, text) \
    case value:                      \
        return text;

const char *kvr_status_name(kvr_status status)
{
    switch (status) {
        STATUS_LIST(NAME_CASE)
    default:
        return "KVR_E?";
    }
}

const char *kvr_status_text(kvr_status status)
{
    switch (status) {
        STATUS_LIST(TEXT_CASE)
    default:
        return "unknown status";
    }
}

bool kvr_status_is_fatal(kvr_status status)
{
    return status <= KVR_FATAL;
}
