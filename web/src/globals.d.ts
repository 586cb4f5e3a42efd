declare const __ENGINE__: string;
declare const __ORT_GLUE__: string;
declare const __KERNEL__: string;
declare module '*.css?inline' { const css: string; export default css }
declare module '*.css';
