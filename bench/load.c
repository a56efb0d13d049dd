// A load generator for the benchmarks: one thread, epoll, and every answer is checked while it is timed.
//
//   load requests PORT URL FILE CONNECTIONS SECONDS [close] [grow] [differ] [etag=TAG] [last=N]
//   load hold     PORT URL CONNECTIONS [slow]           hold connections open until stdin ends
//   load live     PORT URL FILE CONNECTIONS LINES [stop=PID]
//   load start    PORT URL TRIES COMMAND...             from the start of a server to its first answer
//
// Prints one JSON object. An answer that is wrong ends the program with status 1 and a reason.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 64 * 1024, EVENTS = 512, LONGEST_FILE = 1 << 26 };
extern char **environ;

#define fail(...) (fprintf(stderr, "load: " __VA_ARGS__), fputc('\n', stderr), exit(1))

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, by_value);
    return count ? values[count / 2] : 0;
}

// --- Connections

struct connection {
    int fd;
    uint64_t got;      // bytes of the body received
    uint64_t expected; // Content-Length
    uint64_t from;     // where in the file the body begins
    uint64_t least;    // how long the file was when the request was sent
    int held;          // bytes in buf
    bool in_body;
    char buf[4096];    // the head, or the line that has begun
};

static int poller;

// Returns a connected socket, or -1 if nobody listens.
static int try_connect(int port, int receive_buffer) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0) fail("socket: %m");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (receive_buffer) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) {
        if (errno != ECONNREFUSED) fail("connect: %m");
        close(fd);
        return -1;
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void open_connection(struct connection *c, int port, int receive_buffer) {
    c->fd = try_connect(port, receive_buffer);
    if (c->fd < 0) fail("nobody listens on port %d", port);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event);
}

static void send_all(int fd, const char *text, size_t length) {
    if (write(fd, text, length) != (ssize_t)length) fail("a request could not be sent: %m");
}

// The value of a field in a head that ends in an empty line; or NULL.
static const char *field(const char *head, const char *name) {
    size_t length = strlen(name);
    for (const char *line = head; (line = strstr(line, "\r\n")) && line[2] != '\r';) {
        line += 2;
        if (!strncasecmp(line, name, length) && line[length] == ':') return line + length + 1 + (line[length + 1] == ' ');
    }
    return NULL;
}

static int status_of(const char *head) { return strncmp(head, "HTTP/1.", 7) ? 0 : atoi(head + 9); }

// --- requests: as many answers as there is time for

static struct {
    int port, file;
    char request[512];
    char *id; // if not NULL, where the number of the request stands in it, so that no two are the same
    uint64_t requests;
    const char *content; // the file, mapped
    uint64_t length;
    int status;
    uint64_t last; // if not 0, the last so many bytes are asked for
    bool close;
    double every, next_line; // if not 0, a line is appended every so many seconds
    uint64_t answers, bytes, stale, torn;
} run;

static void send_request(struct connection *c) {
    c->held = 0;
    c->in_body = false;
    c->got = 0;
    c->least = run.length;
    if (run.id) run.id[sprintf(run.id, "%010lu", ++run.requests)] = '\r';
    send_all(c->fd, run.request, strlen(run.request));
}

static void check_head(struct connection *c) {
    int status = status_of(c->buf);
    if (status != run.status) fail("status %d instead of %d", status, run.status);
    const char *length = field(c->buf, "content-length");
    c->expected = status == 304 || !length ? 0 : strtoull(length, NULL, 10);
    if (status == 304) return;
    const char *range = field(c->buf, "content-range");
    uint64_t total = c->expected;
    c->from = run.last ? run.length - run.last : 0;
    if (run.last && (!range || sscanf(range, "bytes %lu-%*u/%lu", &c->from, &total) != 2)) total = run.length; // limit says nothing
    if (!length) fail("an answer without Content-Length");
    if (run.last && c->expected != run.last) fail("%lu bytes instead of %lu", c->expected, run.last);
    if (total > run.length) fail("%lu bytes of %lu", total, run.length);
    if (total < c->least) {
        if (!run.every) fail("%lu bytes of %lu", total, run.length);
        run.stale++; // a line that was appended before the request is missing
    }
    if (c->expected && run.content[c->from + c->expected - 1] != '\n') {
        if (!run.every) fail("an answer ends inside a line");
        run.torn++; // a line that is just being appended is shown in part
    }
}

static void check_body(struct connection *c, const char *bytes, uint64_t count) {
    if (c->got + count > c->expected) fail("more bytes than announced");
    bool is_middle = c->got >= PIECE && c->got + count + PIECE < c->expected;
    if ((!is_middle || !run.answers) && memcmp(bytes, run.content + c->from + c->got, count)) fail("wrong bytes near %lu", c->from + c->got);
    c->got += count;
}

// Reads what has come; returns whether the answer is complete. Of a long body the middle is only read and counted, so
// that the server is measured, and not how fast we compare; in the first answer all of it is compared.
static bool receive(struct connection *c) {
    static char piece[PIECE + 1];
    for (;;) {
        ssize_t count = read(c->fd, piece, PIECE);
        if (count < 0 && errno == EAGAIN) return false;
        if (count <= 0) fail("closed within an answer");
        char *at = piece;
        if (!c->in_body) {
            piece[count] = 0;
            if (c->held + count >= (ssize_t)sizeof c->buf && c->held) fail("the head is too long");
            char *end = strstr(piece, "\r\n\r\n");
            size_t head = end && !c->held ? (size_t)(end + 4 - piece) : (size_t)count;
            if (c->held + head >= sizeof c->buf) fail("the head is too long");
            memcpy(c->buf + c->held, piece, head);
            c->held += (int)head;
            c->buf[c->held] = 0;
            if (!strstr(c->buf, "\r\n\r\n")) continue;
            check_head(c);
            c->in_body = true;
            at += head;
            count -= (ssize_t)head;
        }
        check_body(c, at, (uint64_t)count);
        if (c->got == c->expected) return true;
    }
}

static void append_line(double at) {
    if (!run.every || at < run.next_line) return;
    char line[16];
    int length = snprintf(line, sizeof line, "%05lu\n", run.length % 100000);
    if (write(run.file, line, (size_t)length) != length) fail("write: %m");
    run.length += (uint64_t)length;
    run.next_line = at + run.every;
}

static void serve_until(double end) {
    struct epoll_event events[EVENTS];
    for (double at; (at = now()) < end;) {
        append_line(at);
        int count = epoll_wait(poller, events, EVENTS, 1);
        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;
            if (!receive(c)) continue;
            run.answers++;
            run.bytes += c->got;
            if (run.close) {
                close(c->fd);
                open_connection(c, run.port, 0);
            }
            append_line(now());
            send_request(c);
        }
    }
}

// A mark for the driver: what follows is measured. It answers when it has looked at the server's clock.
static void mark(const char *name) {
    printf("%s\n", name);
    fflush(stdout);
    if (getchar() == EOF) exit(1);
}

// What an ingress adds: an id of its own for each request, and what it knows of the client.
#define INGRESS                                                                                                        \
    "X-Request-Id: 0123456789\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\nX-Forwarded-For: 192.0.2.17\r\n"              \
    "X-Forwarded-Proto: https\r\nX-Forwarded-Host: numbers.example\r\n"

static int requests(int argc, char **argv) {
    if (argc < 7) fail("requests PORT URL FILE CONNECTIONS SECONDS [OPTION...]");
    run.port = atoi(argv[2]);
    run.status = 200;
    char extra[600] = "";
    char *more = extra; // where the next fields go
    for (char **option = argv + 7; *option; option++) {
        if (!strcmp(*option, "close")) run.close = true, more += sprintf(more, "Connection: close\r\n");
        else if (!strcmp(*option, "differ")) more += sprintf(more, INGRESS);
        else if (!strncmp(*option, "grow=", 5)) run.every = 1 / atof(*option + 5);
        else if (!strncmp(*option, "etag=", 5)) run.status = 304, more += sprintf(more, "If-None-Match: %.150s\r\n", *option + 5);
        else if (!strncmp(*option, "last=", 5)) run.status = 206, run.last = strtoull(*option + 5, NULL, 10), more += sprintf(more, "Range: bytes=-%lu\r\n", run.last);
        else fail("what is %s?", *option);
    }
    snprintf(run.request, sizeof run.request, "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", argv[3], extra);
    run.id = strstr(run.request, "0123456789");
    run.file = open(argv[4], O_RDWR | O_APPEND);
    struct stat stat;
    if (run.file < 0 || fstat(run.file, &stat)) fail("%s: %m", argv[4]);
    run.length = (uint64_t)stat.st_size;
    run.content = mmap(NULL, run.length + LONGEST_FILE, PROT_READ, MAP_SHARED, run.file, 0);
    int connections = atoi(argv[5]);
    double seconds = atof(argv[6]);
    struct connection *all = calloc((size_t)connections, sizeof *all);
    for (int i = 0; i < connections; i++) open_connection(&all[i], run.port, 0), send_request(&all[i]);
    do serve_until(now() + seconds / 10); while (!run.answers); // to warm up
    mark("begin");
    uint64_t answers = run.answers, bytes = run.bytes, stale = run.stale, torn = run.torn;
    double began = now();
    serve_until(began + seconds);
    double took = now() - began;
    // A work of few long answers has to be measured to the end of one.
    if (run.answers == answers) serve_until(now() + 10 * seconds), took = now() - began;
    mark("end");
    uint64_t partial = 0; // bytes of answers under way
    for (int i = 0; i < connections; i++) partial += all[i].got;
    printf("{\"answers\": %lu, \"bytes\": %lu, \"stale\": %lu, \"torn\": %lu, \"seconds\": %f}\n", run.answers - answers,
           run.bytes - bytes + partial, run.stale - stale, run.torn - torn, took);
    return 0;
}

// --- hold: connections that do nothing, or next to nothing

static int hold(int argc, char **argv) {
    if (argc < 5) fail("hold PORT URL CONNECTIONS [slow]");
    int port = atoi(argv[2]), connections = atoi(argv[4]);
    bool slow = argc > 5;
    char request[512], buffer[PIECE];
    int length = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", argv[3]);
    int *fds = calloc((size_t)connections, sizeof *fds);
    for (int i = 0; i < connections; i++) {
        fds[i] = try_connect(port, slow ? 4096 : 0);
        if (fds[i] < 0) fail("connection %d was refused", i);
        fcntl(fds[i], F_SETFL, 0);
        send_all(fds[i], request, (size_t)length);
        if (read(fds[i], buffer, slow ? 1024 : sizeof buffer) <= 0 || status_of(buffer) != 200) fail("no answer");
    }
    printf("holding\n");
    fflush(stdout);
    for (;;) { // slow clients take some bytes every tenth of a second
        struct timeval tenth = {.tv_usec = 100000};
        fd_set input;
        FD_ZERO(&input);
        FD_SET(0, &input);
        if (select(1, &input, NULL, NULL, &tenth)) break;
        for (int i = 0; slow && i < connections; i++) (void)!recv(fds[i], buffer, 1024, MSG_DONTWAIT);
    }
    for (int i = 0; i < connections; i++) {
        ssize_t got = recv(fds[i], buffer, 1, MSG_DONTWAIT);
        if (got == 0) fail("connection %d was closed", i);
    }
    printf("{\"connections\": %d}\n", connections);
    return 0;
}

// --- live: every client has to get every line, once and in order

static struct {
    char (*lines)[16];
    int appended;
    int *next;          // by client: the line that it has to get next
    bool *ended;        // by client: whether the last chunk came
    int up_to_date;     // clients that have got every line appended so far
    int closed;
    double first, last; // when the newest line came to the first client, and to the last
    struct connection *all;
} live;

// Lines that end in CR LF frame the chunks, and event streams have fields; all else has to be the next line.
static void take_line(struct connection *c, char *line, int length) {
    long client = c - live.all;
    if (length > 1 && line[length - 2] == '\r') {
        if (!strcmp(line, "0\r\n")) live.ended[client] = true;
        return;
    }
    int field = strncmp(line, "data:", 5) ? 0 : line[5] == ' ' ? 6 : 5;
    if (field) line += field, length -= field;
    else if (*line == '\n' || *line == ':' || strchr(line, ':')) return;
    if (*line == '{' || *line == '\n') return;
    int *next = &live.next[client];
    if (*next >= live.appended || strcmp(line, live.lines[*next])) fail("client %ld got %.*s as line %d", client, length, line, *next);
    if (++*next == live.appended) {
        live.last = now();
        if (live.up_to_date++ == 0) live.first = live.last;
    }
}

static void take(struct connection *c) {
    static char piece[PIECE];
    ssize_t count;
    while ((count = read(c->fd, piece, sizeof piece)) > 0) {
        for (ssize_t i = 0; i < count; i++) {
            if (c->held == (int)sizeof c->buf - 1) fail("a line is too long");
            c->buf[c->held++] = piece[i];
            if (piece[i] != '\n') continue;
            c->buf[c->held] = 0;
            if (c->in_body) take_line(c, c->buf, c->held);
            else if (!strcmp(c->buf, "\r\n")) c->in_body = true, live.up_to_date++;
            else if (!strncmp(c->buf, "HTTP", 4) && status_of(c->buf) != 200) fail("%s", c->buf);
            c->held = 0;
        }
        if (count < (ssize_t)sizeof piece) return; // level-triggered: what is left is told again
    }
    if (count < 0 && errno == EAGAIN) return;
    if (!live.ended[c - live.all]) fail("a stream ended without its last chunk");
    epoll_ctl(poller, EPOLL_CTL_DEL, c->fd, NULL);
    live.closed++;
}

static void take_until(int *counter, int wanted, const char *what) {
    struct epoll_event events[EVENTS];
    double deadline = now() + 60;
    while (*counter < wanted) {
        int count = epoll_wait(poller, events, EVENTS, 1000);
        for (int i = 0; i < count; i++) take(events[i].data.ptr);
        if (now() > deadline) fail("%s: %d of %d clients", what, *counter, wanted);
    }
}

static void append_lines(int file, int count) {
    char *text = malloc((size_t)count * 16);
    int length = 0;
    for (int i = 0; i < count; i++) {
        char *line = live.lines[live.appended++];
        sprintf(line, "%06d\n", live.appended);
        length += sprintf(text + length, "%s", line);
    }
    live.up_to_date = 0;
    if (write(file, text, (size_t)length) != length) fail("write: %m");
    free(text);
}

static int follow(int argc, char **argv) {
    if (argc < 7) fail("live PORT URL FILE CONNECTIONS LINES [stop=PID]");
    int port = atoi(argv[2]), clients = atoi(argv[5]), lines = atoi(argv[6]), burst = 100;
    int stop = argc > 7 && !strncmp(argv[7], "stop=", 5) ? atoi(argv[7] + 5) : 0;
    int file = open(argv[4], O_WRONLY | O_APPEND);
    if (file < 0) fail("%s: %m", argv[4]);
    char request[512];
    int length = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", argv[3]);
    live.all = calloc((size_t)clients, sizeof *live.all);
    live.lines = calloc((size_t)(lines + burst), sizeof *live.lines);
    live.next = calloc((size_t)clients, sizeof *live.next);
    live.ended = calloc((size_t)clients, sizeof *live.ended);
    for (int i = 0; i < clients; i++) {
        open_connection(&live.all[i], port, 0);
        send_all(live.all[i].fd, request, (size_t)length);
        if (i % 100 == 99) take_until(&live.up_to_date, i + 1, "heads"); // not more than the listener's queue holds
    }
    take_until(&live.up_to_date, clients, "heads");
    mark("begin");
    double *first = calloc((size_t)lines, sizeof *first), *last = calloc((size_t)lines, sizeof *last);
    for (int i = 0; i < lines; i++) {
        usleep((useconds_t)(100000 + rand() % 50000)); // at no fixed phase to a server that looks now and then
        double began = now();
        append_lines(file, 1);
        take_until(&live.up_to_date, clients, "a line");
        first[i] = live.first - began;
        last[i] = live.last - began;
    }
    mark("end");
    append_lines(file, burst);
    take_until(&live.up_to_date, clients, "a burst of lines");
    double stopped = now();
    if (stop) {
        kill(stop, SIGTERM);
        take_until(&live.closed, clients, "ends of streams");
    }
    stopped = now() - stopped;
    printf("{\"clients\": %d, \"lines\": %d, \"first\": %f, \"last\": %f, \"stopped\": %f}\n", clients, lines + burst,
           median(first, lines), median(last, lines), stopped);
    return 0;
}

// --- start: how long a server takes from its start to its first answer

static double start_once(int port, const char *request, char **command) {
    pid_t pid;
    posix_spawn_file_actions_t silent;
    posix_spawn_file_actions_init(&silent);
    posix_spawn_file_actions_addopen(&silent, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&silent, 2, "/dev/null", O_WRONLY, 0);
    double began = now(), took;
    if (posix_spawnp(&pid, command[0], &silent, NULL, command, environ)) fail("%s can't be started", command[0]);
    for (;;) {
        int fd = try_connect(port, 0);
        if (fd < 0) {
            if (now() - began > 10) fail("%s does not listen", command[0]);
            usleep(20); // leaves the processor to the server where there is but one
            continue;
        }
        char answer[4096] = "";
        fcntl(fd, F_SETFL, 0);
        send_all(fd, request, strlen(request));
        if (read(fd, answer, sizeof answer - 1) <= 0 || status_of(answer) != 200) fail("no answer: %s", answer);
        took = now() - began;
        close(fd);
        break;
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    posix_spawn_file_actions_destroy(&silent);
    return took;
}

static int start(int argc, char **argv) {
    if (argc < 6) fail("start PORT URL TRIES COMMAND...");
    int port = atoi(argv[2]), tries = atoi(argv[4]);
    char request[512];
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", argv[3]);
    double *took = calloc((size_t)tries, sizeof *took);
    for (int i = 0; i < tries; i++) took[i] = start_once(port, request, argv + 5);
    printf("{\"seconds\": %f}\n", median(took, tries));
    return 0;
}

int main(int argc, char **argv) {
    poller = epoll_create1(EPOLL_CLOEXEC);
    const char *mode = argc > 1 ? argv[1] : "";
    if (!strcmp(mode, "requests")) return requests(argc, argv);
    if (!strcmp(mode, "hold")) return hold(argc, argv);
    if (!strcmp(mode, "live")) return follow(argc, argv);
    if (!strcmp(mode, "start")) return start(argc, argv);
    fail("requests, hold, live or start?");
}
