// swift-tools-version:5.9
// $name $version
import PackageDescription

let package = Package(
    name: "${Type}Model",
    platforms: [.iOS(.v13), .macOS(.v11)],
    products: [.library(name: "${Type}Model", targets: ["${Type}Model"])],
    targets: [
        .target(
            name: "${Type}Model",
            resources: [.copy("Resources")]
        )
    ]
)
