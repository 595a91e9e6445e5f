@main
struct Perseus {
    static func main() {}
}
