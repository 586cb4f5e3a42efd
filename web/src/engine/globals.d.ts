/** Version of the package. */
declare const __ENGINE__: string;
/** File name of the runtime's glue code in `assets/`. */
declare const __ORT_GLUE__: string;
/** The compiled kernel, base64. */
declare const __KERNEL__: string;
