import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CompletableFuture;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** An idle client: Client producer|consumer ADDRESS. It lives until its input ends, says so, then closes. */
public final class Client {
    public static void main(String[] args) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", args[1]);
        settings.put("client.id", "traced");
        if (args[0].equals("producer")) {
            produce(settings);
        } else {
            consume(settings);
        }
        System.exit(0);
    }

    private static void awaitEnd() {
        try {
            System.in.readAllBytes();
        } catch (IOException gone) {
            // As good as an end.
        }
    }

    private static void produce(Properties settings) {
        ByteArraySerializer bytes = new ByteArraySerializer();
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(settings, bytes, bytes)) {
            awaitEnd();
            System.out.println("closing");
        }
    }

    private static void consume(Properties settings) {
        CompletableFuture<Void> life = CompletableFuture.runAsync(Client::awaitEnd);
        ByteArrayDeserializer bytes = new ByteArrayDeserializer();
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings, bytes, bytes)) {
            consumer.assign(List.of(new TopicPartition("none", 0)));
            while (!life.isDone()) {
                consumer.poll(Duration.ofMillis(50));
            }
            System.out.println("closing");
        }
    }
}
