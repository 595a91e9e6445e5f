// The texts of the device code, embedded in the program: compiling a kernel reads no file.
#ifndef PERSEUS_DEVICE_SOURCES_H
#define PERSEUS_DEVICE_SOURCES_H

/// One file of device code, or one layout header that device code includes.
typedef struct {
    /// As `#include` names it; nullptr stands behind the last file.
    const char *name;
    /// Ends with a zero.
    const unsigned char *text;
} perseus_device_source;

/// All files.
const perseus_device_source *perseus_device_sources(void);

#endif
