// For app/build.gradle.kts. Without noCompress, opening the model as a file descriptor fails at the first load.
android {
    androidResources {
        noCompress += "tflite"
    }
}

dependencies {
    implementation("com.google.ai.edge.litert:litert:1.4.0")
}
