/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXAMPLES_OUTPUT_H
#define EXAMPLES_OUTPUT_H

/* Write out what is left of standard output. `status`, or `failed`, with a sentence, when what was
 * printed could not be written, to a disk that is full, say. */
int
output_finish(const char *program, int status, int failed);

#endif
