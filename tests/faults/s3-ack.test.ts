/** S3 on bad days while spans are safe in the bucket (`ingester.ack: storage`). */
import { testDays } from './s3-days.ts';

testDays('storage');
