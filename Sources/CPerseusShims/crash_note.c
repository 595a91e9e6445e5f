// Handlers of the signals of a crash, which write one text and step aside.
#define _GNU_SOURCE
#include "perseus_crash_note.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static const int crash_signals[] = {SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV};
enum { SIGNAL_COUNT = sizeof crash_signals / sizeof crash_signals[0] };

static struct sigaction previous[SIGNAL_COUNT];
static pthread_once_t installation = PTHREAD_ONCE_INIT;
static _Thread_local const char *volatile crash_note;

static void write_note(int signal, siginfo_t *info, void *context) {
    (void)context;
    const char *note = crash_note;
    crash_note = NULL;
    // Nothing can be done about a standard error that takes nothing.
    if (note && write(STDERR_FILENO, note, strlen(note)) < 0) {}
    for (int index = 0; index < SIGNAL_COUNT; index++) {
        if (crash_signals[index] == signal) sigaction(signal, &previous[index], NULL);
    }
    // A fault comes again when the handler returns to it; a signal that was sent does not.
    if (info->si_code <= 0) raise(signal);
}

static void install(void) {
    struct sigaction action = {.sa_sigaction = write_note, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    for (int index = 0; index < SIGNAL_COUNT; index++) {
        sigaction(crash_signals[index], &action, &previous[index]);
    }
}

void perseus_set_crash_note(const char *note) {
    pthread_once(&installation, install);
    crash_note = note;
}
