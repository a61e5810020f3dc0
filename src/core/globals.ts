/// <reference lib="esnext.disposable" preserve="true" />

/*
 * The declarations of this package name classes that only the DOM's or Node's types declare. Programs without those types
 * get them here, without members; where they are declared, these add nothing. Every entry point imports this file.
 */
/* eslint-disable @typescript-eslint/no-empty-object-type */
declare global {
  interface AbortSignal {}
  interface Blob {}
  interface URL {}
}

export {};
