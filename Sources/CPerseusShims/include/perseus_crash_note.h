// What a thread was doing, for whoever reads the last lines of a process that crashed.
#ifndef PERSEUS_CRASH_NOTE_H
#define PERSEUS_CRASH_NOTE_H

/// Sets the text that goes to the standard error if the calling thread traps or touches memory that is not there.
/// The text must live until the next call on this thread; NULL takes it back. Then the signal does what it did
/// before: Swift's backtrace, or the end.
void perseus_set_crash_note(const char *note);

#endif
