/* SPDX-License-Identifier: Apache-2.0 */
/* bench_report.c: medians, the table and bench.json. A ratio is ours divided by the peer's in the
 * row's own unit; the picture draws it, with the peer at the bar's mark. */
#include <stdlib.h>
#include <string.h>

#include "bench_internal.h"

enum { BAR_PEER = 10, BAR_WIDTH = 16 };

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

bool bench_summarize(const bench_result *result, size_t side, const char *metric,
                     bench_summary *out_summary)
{
    for (size_t i = 0; i < result->series_count[side]; i++) {
        const bench_series *series = &result->series[side][i];
        double sorted[BENCH_RUNS_MAX];
        size_t n = series->count;
        if (strcmp(series->metric, metric) != 0) {
            continue;
        }
        memcpy(sorted, series->values, n * sizeof *sorted);
        qsort(sorted, n, sizeof *sorted, compare_doubles);
        out_summary->median = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
        out_summary->min = sorted[0];
        out_summary->max = sorted[n - 1];
        return true;
    }
    return false;
}

/* Four significant digits at most, whole numbers without a fraction. */
static const char *number_text(double value, char text[32])
{
    if (value >= 1e6) {
        snprintf(text, 32, "%.4gM", value / 1e6);
    } else if (value >= 100) {
        snprintf(text, 32, "%.0f", value);
    } else {
        snprintf(text, 32, "%.3g", value);
    }
    return text;
}

static const char *goal_text(const bench_row *row, double measured, char text[64])
{
    bool met = row->goal_kind == BENCH_GOAL_AT_MOST ? measured <= row->goal : measured >= row->goal;
    char number[32];
    if (row->goal_kind == BENCH_GOAL_NONE) {
        return "";
    }
    snprintf(text, 64, "%s %s %s",
             row->goal_kind == BENCH_GOAL_AT_MOST ? "<=" : ">=", number_text(row->goal, number),
             met ? "met" : "MISSED");
    return text;
}

/* Ours as a bar of #, the peer's length marked by |; a bar that leaves the picture ends in >. */
static void bar_text(double ratio, char text[BAR_WIDTH + 1])
{
    double length = ratio * BAR_PEER;
    for (int i = 0; i < BAR_WIDTH; i++) {
        text[i] = i < length ? '#' : ' ';
    }
    if (text[BAR_PEER] == ' ') {
        text[BAR_PEER] = '|';
    }
    if (length > BAR_WIDTH) {
        text[BAR_WIDTH - 1] = '>';
    }
    text[BAR_WIDTH] = '\0';
}

void bench_print_header(FILE *out)
{
    fprintf(out, "%-24s %8s %17s %-11s %-13s %8s %17s %6s  %-14s %s\n", "", "ours", "min .. max",
            "unit", "peer", "peer's", "min .. max", "ratio", "goal", "peer = |");
}

void bench_print_question(FILE *out, const bench_question *question, const bench_result *result)
{
    fprintf(out, "%s\n", question->title);
    for (const bench_row *row = question->rows;
         row < question->rows + BENCH_ROWS_MAX && row->name != NULL; row++) {
        bench_summary ours, peer;
        char a[32], b[32], c[32], range[72], goal[64], bar[BAR_WIDTH + 1];
        if (!bench_summarize(result, 0, row->metric, &ours)) {
            fprintf(out, "  %-22s no result\n", row->name);
            continue;
        }
        snprintf(range, sizeof range, "%s .. %s", number_text(ours.min, a),
                 number_text(ours.max, b));
        fprintf(out, "  %-22s %8s %17s %-11s", row->name, number_text(ours.median, c), range,
                row->unit);
        if (row->peer == 0) {
            fprintf(out, " %-13s %8s %17s %6s  %s\n", "", "", "", "",
                    goal_text(row, ours.median, goal));
        } else if (!bench_summarize(result, row->peer, row->metric, &peer)) {
            fprintf(out, " %-13s no result\n", question->sides[row->peer].who);
        } else {
            double ratio = ours.median / peer.median;
            snprintf(range, sizeof range, "%s .. %s", number_text(peer.min, a),
                     number_text(peer.max, b));
            bar_text(ratio, bar);
            fprintf(out, " %-13s %8s %17s %6.2f  %-14s %s\n", question->sides[row->peer].who,
                    number_text(peer.median, c), range, ratio, goal_text(row, ratio, goal), bar);
        }
    }
    fflush(out);
}

/* Names and units are our own string constants and need no escapes. */
void bench_json_question(FILE *out, const bench_question *question, const bench_result *result,
                         bool *in_out_first)
{
    for (const bench_row *row = question->rows;
         row < question->rows + BENCH_ROWS_MAX && row->name != NULL; row++) {
        bench_summary ours, peer;
        if (!bench_summarize(result, 0, row->metric, &ours)) {
            continue;
        }
        fprintf(out, "%s{\"name\":\"%s\",\"value\":%.6g,\"unit\":\"%s\"",
                *in_out_first ? "[\n" : ",\n", row->name, ours.median, row->unit);
        *in_out_first = false;
        if (row->peer != 0 && bench_summarize(result, row->peer, row->metric, &peer)) {
            fprintf(out, ",\"peer\":\"%s\",\"ratio\":%.4g", question->sides[row->peer].who,
                    ours.median / peer.median);
            fprintf(out, ",\"peer_value\":%.6g,\"peer_min\":%.6g,\"peer_max\":%.6g", peer.median,
                    peer.min, peer.max);
        } else {
            fprintf(out, ",\"peer\":null,\"ratio\":null");
        }
        fprintf(out, ",\"min\":%.6g,\"max\":%.6g}", ours.min, ours.max);
    }
}
