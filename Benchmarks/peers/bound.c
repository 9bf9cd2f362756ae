// What broker and database allow: the stage of consumer.py in C, without anything that makes it safe.
//
//     cc -O2 -o bound bound.c $(pkg-config --cflags --libs rdkafka libpq) && ./bound BROKERS DATABASE_URL EVENTS
//
// The same records read, the same rows in the same tables, the same following events acknowledged. Left out is whatever a
// user would need: decoding, schemas, groups, leases, tries, dead letters, traces. One thread and one connection a
// partition, pipelined prepared statements with binary arrays, one batch of a partition after another. Prints one row of a
// Markdown table.

#define _GNU_SOURCE
#include <libpq-fe.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { PARTITIONS = 4, BATCH = 500, UNDER_WAY = 5000 };

static const char *database;
static long wanted;
static rd_kafka_t *consumer, *producer;
static atomic_long handled, begun_at, acknowledged, failed;
static atomic_long under_way[PARTITIONS];

static void end(const char *what, const char *why) {
    fprintf(stderr, "bound: %s: %s\n", what, why);
    exit(1);
}

static long now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000L + t.tv_nsec / 1000;
}

// A binary array of PostgreSQL as it grows.
typedef struct {
    uint8_t *bytes;
    size_t count, room;
    uint32_t elements;
} array;

static void put(array *a, const void *bytes, size_t count) {
    if (a->count + count > a->room) {
        a->room = (a->room + count) * 2;
        a->bytes = realloc(a->bytes, a->room);
        if (!a->bytes) end("memory", "none left");
    }
    memcpy(a->bytes + a->count, bytes, count);
    a->count += count;
}

static void put32(array *a, uint32_t value) {
    uint32_t swapped = __builtin_bswap32(value);
    put(a, &swapped, 4);
}

static void begin_array(array *a, uint32_t type) {
    a->count = a->elements = 0;
    put32(a, 1), put32(a, 0), put32(a, type), put32(a, 0), put32(a, 1);
}

static void element(array *a, const void *bytes, size_t count) {
    put32(a, (uint32_t)count);
    put(a, bytes, count);
    uint32_t swapped = __builtin_bswap32(++a->elements);
    memcpy(a->bytes + 12, &swapped, 4);
}

static uint64_t hash(const char *bytes, size_t count, uint64_t seed) {
    uint64_t value = 14695981039346656037u ^ seed;
    for (size_t i = 0; i < count; i++) value = (value ^ (uint8_t)bytes[i]) * 1099511628211u;
    return value;
}

static void delivered(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque) {
    (void)client, (void)opaque;
    if (message->err) atomic_fetch_add(&failed, 1);
    atomic_fetch_sub((atomic_long *)message->_private, 1);
    atomic_fetch_add(&acknowledged, 1);
}

static void *poll_producer(void *unused) {
    (void)unused;
    for (;;) rd_kafka_poll(producer, 50);
    return NULL;
}

static void prepare(PGconn *connection, const char *name, const char *sql) {
    PGresult *result = PQprepare(connection, name, sql, 0, NULL);
    if (PQresultStatus(result) != PGRES_COMMAND_OK) end(name, PQerrorMessage(connection));
    PQclear(result);
}

static void queue_statement(PGconn *connection, const char *name, int count, array **arrays) {
    const char *values[8];
    int lengths[8], formats[8];
    for (int i = 0; i < count; i++) {
        values[i] = (const char *)arrays[i]->bytes;
        lengths[i] = (int)arrays[i]->count;
        formats[i] = 1;
    }
    if (!PQsendQueryPrepared(connection, name, count, values, lengths, formats, 0)) end(name, PQerrorMessage(connection));
}

// Reads the value after `name` in a flat JSON text; good enough for events of our own making.
static size_t value_of(const char *body, size_t count, const char *name, const char **start) {
    const char *at = memmem(body, count, name, strlen(name));
    if (!at) end("no field", name);
    at += strlen(name);
    const char *close = memchr(at, '"', body + count - at);
    *start = at;
    return close ? (size_t)(close - at) : 0;
}

static void *partition(void *number) {
    const int place = (int)(intptr_t)number;
    PGconn *connection = PQconnectdb(database);
    if (PQstatus(connection) != CONNECTION_OK) end("database", PQerrorMessage(connection));
    prepare(connection, "inbox",
            "insert into ledger.inbox (stage, event_key, day) select 'count-labels', k, current_date "
            "from unnest($1::uuid[]) k on conflict do nothing");
    prepare(connection, "effect",
            "insert into bench.effect (event_id, model, label) select * from unnest($1::text[], $2::text[], $3::text[])");
    prepare(connection, "outbox",
            "insert into ledger.outbox (stream_id, number, event_id, type, source, subject, time, cause_id, root_id, "
            "traceparent, body) select 1, number, id, 'retrain-due', '/naura/count-labels', subject, now(), cause, cause, "
            "'00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', body "
            "from unnest($1::int8[], $2::text[], $3::text[], $4::text[], $5::bytea[]) as given(number, id, subject, cause, body)");
    prepare(connection, "begin", "begin");
    prepare(connection, "commit", "commit");
    PQenterPipelineMode(connection);

    rd_kafka_queue_t *queue = rd_kafka_queue_get_partition(consumer, "ground-truth", place);
    rd_kafka_queue_forward(queue, NULL);
    static rd_kafka_message_t *slots[PARTITIONS][BATCH];
    rd_kafka_message_t **messages = slots[place];
    array keys = {0}, ids = {0}, models = {0}, labels = {0}, numbers = {0}, derived = {0}, bodies = {0};
    int64_t next = (int64_t)(place + 1) * 1000000000;
    while (atomic_load(&handled) < wanted) {
        ssize_t count = rd_kafka_consume_batch_queue(queue, 20, messages, BATCH);
        if (count <= 0) continue;
        long none = 0;
        atomic_compare_exchange_strong(&begun_at, &none, now_us());
        begin_array(&keys, 2950), begin_array(&ids, 25), begin_array(&models, 25), begin_array(&labels, 25);
        begin_array(&numbers, 20), begin_array(&derived, 25), begin_array(&bodies, 17);
        long taken = 0;
        for (ssize_t i = 0; i < count; i++) {
            rd_kafka_message_t *message = messages[i];
            if (message->err) continue;
            rd_kafka_headers_t *headers;
            const void *id = NULL;
            size_t id_count = 0;
            if (rd_kafka_message_headers(message, &headers) || rd_kafka_header_get_last(headers, "ce_id", &id, &id_count))
                end("a record", "has no ce_id");
            uint64_t key[2] = {hash(id, id_count, 1), hash(id, id_count, 2)};
            const char *model, *label;
            size_t model_count = value_of(message->payload, message->len, "\"model\":\"", &model);
            size_t label_count = value_of(message->payload, message->len, "\"label\":\"", &label);
            char name[33], body[256];
            snprintf(name, sizeof name, "%016llx%016llx", (unsigned long long)key[0], (unsigned long long)key[1]);
            int body_count = snprintf(
                body, sizeof body, "{\"model\":\"%.*s\",\"reason\":\"measured\",\"requested_by\":\"bench\"}", (int)model_count, model);
            uint64_t row = __builtin_bswap64((uint64_t)next++);
            element(&keys, key, 16), element(&ids, id, id_count), element(&models, model, model_count);
            element(&labels, label, label_count), element(&numbers, &row, 8), element(&derived, name, 32);
            element(&bodies, body, body_count);
            taken++;
        }
        queue_statement(connection, "begin", 0, NULL);
        queue_statement(connection, "inbox", 1, (array *[]){&keys});
        queue_statement(connection, "effect", 3, (array *[]){&ids, &models, &labels});
        queue_statement(connection, "outbox", 5, (array *[]){&numbers, &derived, &models, &ids, &bodies});
        queue_statement(connection, "commit", 0, NULL);
        if (!PQpipelineSync(connection)) end("pipeline", PQerrorMessage(connection));
        for (int done = 0; !done;) {
            PGresult *result = PQgetResult(connection);
            if (!result) continue;
            done = PQresultStatus(result) == PGRES_PIPELINE_SYNC;
            if (PQresultStatus(result) == PGRES_FATAL_ERROR) end("statement", PQresultErrorMessage(result));
            PQclear(result);
        }
        // Committed: what follows is said.
        uint8_t *name = derived.bytes + 20, *body = bodies.bytes + 20, *model = models.bytes + 20, *cause = ids.bytes + 20;
        for (long i = 0; i < taken; i++) {
            uint32_t counts[4];
            uint8_t *starts[4] = {name, body, model, cause};
            for (int part = 0; part < 4; part++) {
                memcpy(&counts[part], starts[part], 4);
                counts[part] = __builtin_bswap32(counts[part]);
            }
            rd_kafka_headers_t *headers = rd_kafka_headers_new(12);
            rd_kafka_header_add(headers, "content-type", -1, "application/json", -1);
            rd_kafka_header_add(headers, "ce_specversion", -1, "1.0", -1);
            rd_kafka_header_add(headers, "ce_id", -1, name + 4, counts[0]);
            rd_kafka_header_add(headers, "ce_type", -1, "retrain-due", -1);
            rd_kafka_header_add(headers, "ce_source", -1, "/naura/count-labels", -1);
            rd_kafka_header_add(headers, "ce_subject", -1, model + 4, counts[2]);
            rd_kafka_header_add(headers, "ce_time", -1, "2026-01-01T00:00:00.000000Z", -1);
            rd_kafka_header_add(headers, "ce_rootid", -1, cause + 4, counts[3]);
            rd_kafka_header_add(headers, "ce_dataschema", -1, "https://naura.dev/schemas/retrain-due.v1.json", -1);
            rd_kafka_header_add(headers, "ce_causeid", -1, cause + 4, counts[3]);
            rd_kafka_header_add(headers, "ce_traceparent", -1, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", -1);
            atomic_fetch_add(&under_way[place], 1);
            while (rd_kafka_producev(
                       producer, RD_KAFKA_V_TOPIC("retrain-due"), RD_KAFKA_V_KEY(model + 4, counts[2]),
                       RD_KAFKA_V_VALUE(body + 4, counts[1]), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                       RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(&under_way[place]), RD_KAFKA_V_END))
                nanosleep(&(struct timespec){0, 200000}, NULL);
            name += 4 + counts[0], body += 4 + counts[1], model += 4 + counts[2], cause += 4 + counts[3];
        }
        rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(1);
        rd_kafka_topic_partition_list_add(offsets, "ground-truth", place)->offset = messages[count - 1]->offset + 1;
        rd_kafka_commit(consumer, offsets, 1);
        rd_kafka_topic_partition_list_destroy(offsets);
        for (ssize_t i = 0; i < count; i++) rd_kafka_message_destroy(messages[i]);
        while (atomic_load(&under_way[place]) > UNDER_WAY) nanosleep(&(struct timespec){0, 200000}, NULL);
        atomic_fetch_add(&handled, taken);
    }
    return NULL;
}

static rd_kafka_t *client(rd_kafka_type_t type, const char *brokers, const char *settings[][2]) {
    char why[512];
    rd_kafka_conf_t *configuration = rd_kafka_conf_new();
    rd_kafka_conf_set(configuration, "bootstrap.servers", brokers, why, sizeof why);
    for (int i = 0; settings[i][0]; i++)
        if (rd_kafka_conf_set(configuration, settings[i][0], settings[i][1], why, sizeof why)) end(settings[i][0], why);
    if (type == RD_KAFKA_PRODUCER) rd_kafka_conf_set_dr_msg_cb(configuration, delivered);
    rd_kafka_t *made = rd_kafka_new(type, configuration, why, sizeof why);
    if (!made) end("librdkafka", why);
    return made;
}

int main(int count, char **arguments) {
    if (count != 4) end("usage", "bound BROKERS DATABASE_URL EVENTS");
    database = arguments[2];
    wanted = atol(arguments[3]);
    PGconn *connection = PQconnectdb(database);
    PQclear(PQexec(connection, "select ledger.ensure_inbox_day(current_date)"));
    PQfinish(connection);
    consumer = client(RD_KAFKA_CONSUMER, arguments[1], (const char *[][2]){
        {"group.id", "bound"}, {"enable.auto.commit", "false"}, {"auto.offset.reset", "earliest"},
        {"fetch.wait.max.ms", "2"}, {"queued.min.messages", "10000"}, {NULL, NULL}});
    producer = client(RD_KAFKA_PRODUCER, arguments[1], (const char *[][2]){
        {"enable.idempotence", "true"}, {"acks", "all"}, {"linger.ms", "1"}, {"partitioner", "murmur2_random"},
        {"queue.buffering.max.messages", "1000000"}, {NULL, NULL}});
    rd_kafka_poll_set_consumer(consumer);
    rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new(PARTITIONS);
    for (int i = 0; i < PARTITIONS; i++)
        rd_kafka_topic_partition_list_add(all, "ground-truth", i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    if (rd_kafka_assign(consumer, all)) end("assign", "refused");

    pthread_t threads[PARTITIONS], poller;
    pthread_create(&poller, NULL, poll_producer, NULL);
    for (intptr_t i = 0; i < PARTITIONS; i++) pthread_create(&threads[i], NULL, partition, (void *)i);
    for (int i = 0; i < PARTITIONS; i++) pthread_join(threads[i], NULL);
    while (atomic_load(&acknowledged) < atomic_load(&handled)) nanosleep(&(struct timespec){0, 1000000}, NULL);
    double seconds = (now_us() - atomic_load(&begun_at)) / 1e6;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double own = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    if (atomic_load(&failed)) end("producer", "some events were not delivered");
    printf("| C, batches up to 500, nothing checked (librdkafka, libpq) | %ld | %.0f | %.0f |\n", atomic_load(&handled),
           atomic_load(&handled) / seconds, own / atomic_load(&handled) * 1e6);
    // No tidying up: the process ends.
    fflush(stdout);
    _exit(0);
}
