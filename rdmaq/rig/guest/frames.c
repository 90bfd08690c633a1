#include "agent.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

int write_all(int fd, const void *data, size_t bytes) {
    const char *next = data;
    while (bytes) {
        ssize_t written = write(fd, next, bytes);
        if (written < 0 && (errno == EINTR || errno == EAGAIN)) {
            struct pollfd room = {.fd = fd, .events = POLLOUT};
            poll(&room, 1, -1);
            continue;
        }
        if (written <= 0) return -1;
        next += written;
        bytes -= (size_t)written;
    }
    return 0;
}

int read_all(int fd, void *data, size_t bytes) {
    char *next = data;
    while (bytes) {
        ssize_t got = read(fd, next, bytes);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return -1;
        next += got;
        bytes -= (size_t)got;
    }
    return 0;
}

int frame_send(int fd, enum frame_kind kind, const void *payload, size_t bytes) {
    unsigned char header[5] = {(unsigned char)kind};
    uint32_t length = htonl((uint32_t)bytes);
    memcpy(header + 1, &length, sizeof length);
    if (write_all(fd, header, sizeof header)) return -1;
    return write_all(fd, payload, bytes);
}

int frame_receive(int fd, char *kind, char *payload, size_t *bytes) {
    unsigned char header[5];
    uint32_t length;
    if (read_all(fd, header, sizeof header)) return -1;
    memcpy(&length, header + 1, sizeof length);
    *bytes = ntohl(length);
    if (*bytes > FRAME_BYTES_MAX || read_all(fd, payload, *bytes)) return -1;
    payload[*bytes] = '\0';
    *kind = (char)header[0];
    return 0;
}
