/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/deflate.h"

#include <errno.h>
#include <stdlib.h>
#define ZLIB_CONST
#include <zlib.h>

struct vmk_deflate {
    z_stream stream;
};

struct vmk_deflate *
vmk_deflate_new(uint32_t level)
{
    struct vmk_deflate *state = calloc(1, sizeof *state);
    if (state != NULL && deflateInit(&state->stream, (int)level) != Z_OK) {
        free(state);
        return NULL;
    }
    return state;
}

void
vmk_deflate_free(struct vmk_deflate *state)
{
    if (state == NULL)
        return;
    deflateEnd(&state->stream);
    free(state);
}

size_t
vmk_deflate_run(struct vmk_deflate *state, const uint8_t *from, size_t size, uint8_t *to)
{
    z_stream *stream = &state->stream;
    if (deflateReset(stream) != Z_OK)
        return 0;
    stream->next_in = from;
    stream->avail_in = (uInt)size;
    stream->next_out = to;
    stream->avail_out = (uInt)(size - 1);
    return deflate(stream, Z_FINISH) == Z_STREAM_END ? (size_t)stream->total_out : 0;
}

int
vmk_inflate_run(const uint8_t *from, size_t from_size, uint8_t *to, size_t to_size)
{
    z_stream stream = {.next_in = from, .avail_in = (uInt)from_size};
    if (inflateInit(&stream) != Z_OK)
        return -ENOMEM;
    stream.next_out = to;
    stream.avail_out = (uInt)to_size;
    int status = inflate(&stream, Z_FINISH);
    bool whole = status == Z_STREAM_END && stream.avail_in == 0 && stream.avail_out == 0;
    inflateEnd(&stream);
    if (status == Z_MEM_ERROR)
        return -ENOMEM;
    return whole ? 0 : -EINVAL;
}
