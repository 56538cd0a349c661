/* SPDX-License-Identifier: Apache-2.0 */
/* planted_race.c: two threads that write one variable without order. The thread build must fail
 * it. */
#include <pthread.h>
#include <stdio.h>

static int shared;

static void *bump(void *unused)
{
    (void)unused;
    for (int i = 0; i < 1000; i++) {
        shared++;
    }
    return NULL;
}

int main(void)
{
    pthread_t one;
    pthread_t two;
    if (pthread_create(&one, NULL, bump, NULL) != 0 ||
        pthread_create(&two, NULL, bump, NULL) != 0) {
        return 2;
    }
    (void)pthread_join(one, NULL);
    (void)pthread_join(two, NULL);
    (void)printf("%d\n", shared);
    return 0;
}
