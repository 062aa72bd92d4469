// Package memfile lays bytes that are sent again and again where the kernel sends them from without a copy.
//
//	Source: bytes of the heap ──write──▶ copied by the kernel, each time
//	   │  sent so often that a copy more pays
//	   ▼
//	File: sealed file of memory ──sendfile──▶ passed on by reference
//
// The bytes stay on the heap beside their file: TLS, HTTP/2 and event streams need them there, and net/http may hold a
// part of them a moment longer than the handler that gave it, so they cannot be the file's own pages, which go with it.
// What is sent less often than a file is worth has none, and costs nothing. All files of the process together are bounded
// by maxBytes and maxFiles, and are as private as its memory: nobody else has a descriptor, and nobody writes to them
// once they are made. A file is gone when nobody knows its Source any more, and whoever sends from it has let go of it.
//
// Elsewhere than on Linux, and where no file can be made, there are none: what is written from the heap is as right.
package memfile
