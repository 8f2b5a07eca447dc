/* $name $version, SHA-256 $sha256. Assemble with the folder of $symbol.tflite among the include folders (-I). */
    .section .rodata
    .balign 16
    .global ${symbol}_model
${symbol}_model:
    .incbin "$symbol.tflite"
0:
    .balign 8
    .global ${symbol}_model_len
${symbol}_model_len:
#if defined(__LP64__)
    .quad 0b - ${symbol}_model
#else
    .long 0b - ${symbol}_model
#endif
#if defined(__linux__) && defined(__ELF__)
    .section .note.GNU-stack, "", %progbits
#endif
