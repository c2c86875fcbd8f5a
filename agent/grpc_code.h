/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grpc_code: where functions begin in an x86-64 file without their symbols. gRPC's own each trace
 * their name and arguments: the text is in .rodata, one instruction of .text takes its address,
 * and .eh_frame_hdr, which no file is stripped of, says where the function around that begins.
 */
#ifndef REQTAP_GRPC_CODE_H
#define REQTAP_GRPC_CODE_H

#include "agent/elf.h"

#define GRPC_CODE_NAMES_MAX 8
#define GRPC_CODE_SECTION_MAX (64u << 20) /* bytes; .text of grpcio is 4 to 10 MiB */

/*
 * ret[i]: vaddr of the function that traces "names[i](". 0; -ENOENT: one is traced by none, or by
 * several; -EFBIG: a section is larger than the limit; -ENOMEM.
 */
int grpc_code__functions(struct elf *elf, const char *const *names, unsigned count, uint64_t *ret);

#endif
